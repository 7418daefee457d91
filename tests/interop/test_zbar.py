"""Our pictures, read by zbarimg, a program that we did not write."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from paysim.core.errors import ConfigError
from paysim.qr import symbol

ALL = os.environ.get("PAYSIM_ALL") == "1"

pytestmark = pytest.mark.skipif(
    shutil.which("zbarimg") is None and not ALL, reason="zbarimg is missing: apt-get install zbar-tools"
)

TEXTS = {
    "url": "https://pay.example/7?amount=12.80",
    # EMVCo QRCPS Merchant-Presented Mode, Annex B
    "annex-b": (
        "00020101021229300012D156000000000510A93FO3230Q31280012D15600000001030812345678520441115802CN5914BEST"
        " TRANSPORT6007BEIJING64200002ZH0104最佳运输0202北京540523.7253031565502016233030412340603***0708A600"
        "86670902ME91320016A0112233449988770708123456786304A13A"
    ),
    "chinese": "最佳运输",
    "latin": "Café",
    "digits": "130241379508743918",
}


def zbarimg(picture: bytes, folder: Path) -> str:
    """What zbarimg reads from the picture; it sees nothing but the picture."""
    file = folder / "code.png"
    file.write_bytes(picture)
    done = subprocess.run(
        ["zbarimg", "--quiet", "--raw", str(file)], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"zbarimg read nothing (exit code {done.returncode})"
    return done.stdout.decode().removesuffix("\n")


def drawn(draw: Callable[[], bytes]) -> bytes:
    """The picture; without the scan extra there is none to judge."""
    try:
        return draw()
    except ConfigError as error:
        if ALL:
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize("renderer", ["qrcode", "zxing"])
@pytest.mark.parametrize("error", ["L", "M", "Q", "H"])
@pytest.mark.parametrize("module_px", [2, 3, 8])
@pytest.mark.parametrize("name", TEXTS)
def test_zbar_reads_our_codes(name: str, module_px: int, error: str, renderer: str, tmp_path: Path) -> None:
    picture = drawn(lambda: symbol.png(TEXTS[name], error=error, module_px=module_px, renderer=renderer))
    assert zbarimg(picture, tmp_path) == TEXTS[name]


@pytest.mark.parametrize("digits", ["130241379508743918", "281234567890123456", "6212345678901234567"])
@pytest.mark.parametrize("module_px", [1, 2, 3])
def test_zbar_reads_our_bar_codes(digits: str, module_px: int, tmp_path: Path) -> None:
    assert zbarimg(drawn(lambda: symbol.code128_png(digits, module_px=module_px)), tmp_path) == digits
