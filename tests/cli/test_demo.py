"""`paysim demo`: the newcomer's first minute."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

ALL = os.environ.get("PAYSIM_ALL") == "1"

PAYMENTS = [
    ("qr.merchant", "CAPTURED", 1280),
    ("qr.static", "CAPTURED", 300),
    ("qr.payer", "CAPTURED", 990),
    ("qr.static", "DECLINED", 60_000),
    ("qr.payer", "CAPTURED", 550),
    ("qr.wechat", "CAPTURED", 1800),
    ("in_app.wechat", "CAPTURED", 660),
    ("contactless", "CAPTURED", 990),
]


def test_the_demo_pays_by_each_way_and_ends_in_zero(paysim: Run, tmp_path: Path) -> None:
    ran = paysim("demo", "--json", "--out", str(tmp_path))
    assert (ran.code, ran.err) == (0, "")
    keys = ("channel", "state", "book_state", "amount_minor", "currency")
    assert ran.json == {
        "payments": [
            dict(zip(keys, (channel, state, state, minor, "CNY"), strict=True))
            for channel, state, minor in PAYMENTS
        ],
        "ledger": {"sums": {"CNY": 0}},
        "png": str(tmp_path / "tea-house.png"),
    }
    assert list(ran.json) == ["payments", "ledger", "png"]
    assert Path(ran.json["png"]).read_bytes().startswith(b"\x89PNG")


def test_people_see_the_code_the_timelines_and_the_ledger(paysim: Run, tmp_path: Path) -> None:
    ran = paysim("demo", "--out", str(tmp_path))
    assert ran.code == 0
    assert "█▀▀▀" in ran.out or "▄▄▄▄" in ran.out
    for said in (
        "refunded",
        "limit_exceeded",
        "the shop thinks: UNKNOWN   the operator knows: CAPTURED",
        "by answer to query",
        "weixin://wxpay/bizpayurl?pr=",
        "\nwx",
        "   ARQC: online\n",
        "contactless; kernel 7, U5: ARQC, counter 1",
    ):
        assert said in ran.out
    (total,) = [line.split() for line in ran.out.splitlines() if line.strip().startswith("sum ")]
    assert total == ["sum", "0.00", "CNY"]
    assert ran.out.endswith(f"The picture that was scanned: {tmp_path / 'tea-house.png'}\n")


def test_zbarimg_reads_the_picture(paysim: Run, tmp_path: Path) -> None:
    if shutil.which("zbarimg") is None and not ALL:
        pytest.skip("zbarimg is missing: apt-get install zbar-tools")
    png = paysim("demo", "--json", "--out", str(tmp_path)).json["png"]
    done = subprocess.run(["zbarimg", "--quiet", "--raw", png], capture_output=True, timeout=60, check=True)
    text = done.stdout.decode().removesuffix("\n")
    found = paysim("decode", "--json", text).json
    assert found["valid"]
    assert found["fields"]["54"] == "12.80"
    assert f"\n{text}\n" in paysim("demo", "--out", str(tmp_path)).out


def test_the_seed_decides_and_the_folder_is_made(paysim: Run, tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    first = paysim("demo", "--out", str(deep), "--seed", "8").out
    assert (deep / "tea-house.png").exists()
    assert paysim("demo", "--out", str(deep), "--seed", "8").out == first
    assert paysim("demo", "--out", str(deep), "--seed", "9").out != first


def test_without_a_folder_the_picture_is_in_a_temporary_one(
    paysim: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert Path(paysim("demo", "--json").json["png"]).parent.parent == tmp_path


def test_without_a_camera_the_text_is_passed_on(
    paysim: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paysim.cli.demo.find_spec", lambda _name: None)
    ran = paysim("demo", "--out", str(tmp_path))
    assert ran.code == 0
    assert "(no camera: pip install 'paysim[scan]'; the text is passed on instead)" in ran.out


def test_quiet_says_nothing(paysim: Run, tmp_path: Path) -> None:
    assert paysim("demo", "--quiet", "--out", str(tmp_path)) == (0, "", "")


@pytest.mark.parametrize("name", ["file", "file/in", "a\0b", "\ud800"])
def test_a_folder_that_cannot_be_made(name: str, paysim: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    ran = paysim("demo", "--json", "--out", str(tmp_path / name))
    assert ran.code == 64
    assert set(ran.json) == {"error"}
    assert ran.err.count("\n") == 1
    assert "fault of paysim" not in ran.err
