"""`paysim qr`: codes that others read."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from paysim.qr import merchant, scan, symbol

Run = Callable[..., Any]

ALL = os.environ.get("PAYSIM_ALL") == "1"

FIELDS = {
    "01": "12",
    "26": {"00": "com.example.pay", "01": "42"},
    "52": "5411",
    "53": "156",
    "54": "12.80",
    "58": "CN",
    "59": "TEA HOUSE",
    "60": "SHANGHAI",
    "64": {"00": "ZH", "01": "最佳茶馆"},
}
CODE = merchant.encode({"00": "01", **FIELDS})
TEXTS = [CODE, "https://pay.example/7?amount=12.80", "最佳运输", "x", "130241379508743918"]


def arguments(fields: dict[str, Any], above: str = "") -> list[str]:
    """The fields as the command takes them."""
    found: list[str] = []
    for ident, value in fields.items():
        if isinstance(value, dict):
            found += arguments(value, f"{above}{ident}.")
        else:
            found += ["--field", f"{above}{ident}={value}"]
    return found


def zbarimg(file: Path) -> str:
    """What zbarimg reads."""
    if shutil.which("zbarimg") is None and not ALL:
        pytest.skip("zbarimg is missing: apt-get install zbar-tools")
    done = subprocess.run(
        ["zbarimg", "--quiet", "--raw", str(file)], capture_output=True, timeout=60, check=True
    )
    return done.stdout.decode().removesuffix("\n")


def scanned(file: Path) -> tuple[str, ...]:
    """What our own camera reads."""
    if find_spec("zxingcpp") is None and not ALL:
        pytest.skip("no camera: pip install 'paysim[scan]'")
    return scan.scan(file.read_bytes())


@pytest.mark.parametrize("module_px", [2, 4, 8])
@pytest.mark.parametrize("text", TEXTS)
def test_a_picture_is_read_back(text: str, module_px: int, paysim: Run, tmp_path: Path) -> None:
    file = tmp_path / "code.png"
    ran = paysim("qr", text, "--out", str(file), "--module-px", str(module_px))
    assert ran == (0, f"{text}\n-> {file}\n", "")
    assert scanned(file) == (text,)
    assert zbarimg(file) == text


@pytest.mark.parametrize("module_px", [2, 4, 8])
def test_a_code_of_fields_is_read_back_and_valid(module_px: int, paysim: Run, tmp_path: Path) -> None:
    file = tmp_path / "code.png"
    ran = paysim("qr", *arguments(FIELDS), "--out", str(file), "--module-px", str(module_px), "--json")
    assert (ran.code, ran.json) == (0, {"text": CODE, "out": str(file), "issues": []})
    assert zbarimg(file) == CODE
    assert scanned(file) == (CODE,)
    found = paysim("decode", str(file), "--mode", "strict", "--json").json
    assert found["valid"]
    assert {**found["fields"], "63": None} == {"00": "01", **FIELDS, "63": None}


def test_a_bar_code_is_read_back(paysim: Run, tmp_path: Path) -> None:
    file = tmp_path / "code.png"
    assert paysim("qr", "130241379508743918", "--code128", "--out", str(file)).code == 0
    assert scanned(file) == ("130241379508743918",)
    assert zbarimg(file) == "130241379508743918"


@pytest.mark.parametrize("more", [[], ["--code128"]])
def test_an_svg(more: list[str], paysim: Run, tmp_path: Path) -> None:
    file = tmp_path / "code.SVG"
    assert paysim("qr", "130241379508743918", "--out", str(file), *more).code == 0
    assert file.read_text(encoding="utf-8").startswith("<svg ")


def test_on_the_terminal(paysim: Run) -> None:
    ran = paysim("qr", "hello", "--error", "H", "--quiet-modules", "1", "--invert")
    drawn = symbol.terminal("hello", error="H", quiet_modules=1, invert=True, ansi=False)
    assert ran == (0, f"{drawn}hello\n", "")
    assert paysim("qr", "hello", "--quiet") == (0, "", "")
    assert paysim("qr", "hello", "--json").json == {"text": "hello", "out": None, "issues": []}


def test_the_text_comes_from_standard_input(paysim: Run) -> None:
    assert paysim("qr", "-", "--json", stdin=b"hello\n").json["text"] == "hello"


def test_fields_that_make_no_valid_code_are_drawn_and_named(paysim: Run) -> None:
    ran = paysim("qr", "--field", "59=TEA HOUSE")
    assert ran.code == 0
    assert ran.err.startswith("paysim: made, but wallets may refuse it: NO_MERCHANT_ACCOUNT, MISSING_52")
    assert "MISSING_52" in paysim("qr", "--field", "59=TEA HOUSE", "--json").json["issues"]


def test_the_payload_format_can_be_another(paysim: Run) -> None:
    assert (
        paysim("qr", "--field", "59=X", "--field", "00=02", "--json").json["text"].startswith("0002025901X")
    )


def test_a_file_is_overwritten(paysim: Run, tmp_path: Path) -> None:
    file = tmp_path / "code.png"
    file.write_text("old")
    assert paysim("qr", "new", "--out", str(file)).code == 0
    assert scanned(file) == ("new",)


REFUSED = [
    (["x", "--out", "nowhere/x.png"], 64, "there is no folder nowhere; make it first"),
    (["x", "--out", "x.gif"], 64, "a picture is a .png or .svg file, not 'x.gif'"),
    (["x", "--out", "."], 64, ". is a folder; give the name of a file in it"),
    (["x", "--out", ""], 64, "is a folder"),
    (["x", "--out", "a\0.png"], 64, "cannot be the name of a file"),
    (["x", "--out", "\ud800.png"], 64, "cannot be the name of a file"),
    (["x", "--out", f"{'x' * 300}.png"], 64, "cannot be the name of a file"),
    (["x", "--code128"], 64, "a bar code needs a file"),
    (["x", "--code128", "--out", "x.png"], 64, "1 to 80 digits"),
    (["x", "--module-px", "0", "--out", "x.png"], 64, "module_px is 0"),
    (["x", "--module-px", "9999", "--out", "x.png"], 64, "too large"),
    (["x", "--quiet-modules", "-1"], 64, "quiet_modules is -1"),
    (["x", "--field", "59=X"], 64, "a text or fields, not both"),
    ([], 64, "give a text, - for standard input, or --field"),
    ([""], 64, "an empty text makes no symbol"),
    (["-"], 64, "an empty text makes no symbol"),
    (["\ud800"], 64, "not Unicode text"),
    (["x" * 2332], 1, "2332 bytes do not fit a QR code of error level M"),
    (["--field", "59"], 64, "a field is ID=VALUE"),
    (["--field", "5=X"], 64, "a field is ID=VALUE"),
    (["--field", "٥٩=X"], 64, "a field is ID=VALUE"),
    (["--field", "26.=X"], 64, "a field is ID=VALUE"),
    (["--field", "59=X", "--field", "59=Y"], 64, "59 is given already"),
    (["--field", "26.00=X", "--field", "26=Y"], 64, "26 is given already"),
    (["--field", "26=X", "--field", "26.00=Y"], 64, "26 is a text already"),
    (["--field", "59="], 1, "1 to 99 characters, not 0"),
    (["--field", f"59={'x' * 100}"], 1, "1 to 99 characters, not 100"),
    (["--field", "01.02.03.04.05=X"], 1, "more than 4 levels"),
    (["--field", "59=\ud800"], 1, "a lone surrogate"),
]


@pytest.mark.parametrize(("words", "code", "said"), REFUSED, ids=lambda value: repr(value)[:30])
def test_what_cannot_be_made(
    words: list[str], code: int, said: str, paysim: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = paysim("qr", *words, "--json")
    assert ran.code == code
    assert said in ran.err
    assert ran.err == f"paysim: {ran.err.removeprefix('paysim: ').rstrip()}\n"
    assert set(ran.json) == {"error"}
    assert list(tmp_path.iterdir()) == []
