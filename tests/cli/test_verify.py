"""`paysim verify`: sound, damaged, cut, repaired."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paysim import CNY, Sandbox

Run = Callable[..., Any]

ORDERS = 3


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with Sandbox(seed=7, store=f"sqlite:///{path}") as sandbox:
        shop, alice = sandbox.shop("Tea House"), sandbox.person("Alice", balance=CNY("100.00"))
        for _ in range(ORDERS):
            alice.scan(shop.create(CNY("1.00")).present("qr.merchant").text).confirm()
    return path


def edit(path: Path, sql: str) -> None:
    db = sqlite3.connect(path)
    db.execute(sql)
    db.commit()
    db.close()


def spoil(path: Path, position: int) -> None:
    edit(path, f"UPDATE record SET event = replace(event, '{{', '{{ ') WHERE position = {position}")


def test_a_sound_journal(journal: Path, paysim: Run) -> None:
    ran = paysim("verify", str(journal), "--json")
    assert ran.code == 0
    assert set(ran.json) == {"valid", "records", "orders", "sums", "head"}
    assert (ran.json["valid"], ran.json["orders"], ran.json["sums"]) == (True, ORDERS, {"CNY": 0})
    assert paysim("verify", str(journal)) == (
        0,
        f"{journal}: sound\n"
        f"  records  {ran.json['records']}\n"
        f"  orders   {ORDERS}\n"
        "  sums     0.00 CNY\n"
        f"  head     {ran.json['head']}\n",
        "",
    )
    assert paysim("verify", str(journal), "--quiet") == (0, "", "")


def test_verifying_changes_nothing(journal: Path, paysim: Run) -> None:
    before = journal.read_bytes()
    paysim("verify", str(journal))
    assert journal.read_bytes() == before


def test_a_head_proves_that_nothing_was_cut_after_it(journal: Path, paysim: Run) -> None:
    head = paysim("verify", str(journal), "--json").json["head"]
    with Sandbox(store=f"sqlite:///{journal}") as sandbox:
        sandbox.shop("Dumplings").create(CNY("1.00"))
    ran = paysim("verify", str(journal), "--head", head.upper())
    assert ran.code == 0
    assert ran.out.endswith("  nothing was rewritten or cut after the head that was given\n")


def test_a_head_that_is_not_there_is_no_matter_of_repair(journal: Path, paysim: Run) -> None:
    for more in ((), ("--repair",)):
        ran = paysim("verify", str(journal), "--head", "ab" * 32, "--json", *more)
        assert ran.code == 1
        assert ran.json["valid"] is False
        assert "the head that was given is not in this journal" in ran.err
        assert "keeps what is readable" not in ran.err


@pytest.mark.parametrize("head", ["", "ab", "zz" * 32, "ab" * 33, "\ud800"])
def test_a_head_that_is_no_hash(head: str, journal: Path, paysim: Run) -> None:
    ran = paysim("verify", str(journal), "--head", head)
    assert (ran.code, ran.out) == (64, "")
    assert ran.err == "paysim: a head hash is 64 hex digits, as `paysim verify` prints it\n"


def test_an_edited_record_is_named_and_the_rest_repaired(journal: Path, paysim: Run) -> None:
    spoil(journal, 12)
    ran = paysim("verify", str(journal), "--json")
    assert ran.code == 1
    assert (ran.json["valid"], ran.json["position"]) == (False, 12)
    assert f"`paysim verify {journal}` says where, and `--repair` keeps" in ran.err
    done = paysim("verify", str(journal), "--repair", "--json")
    assert done.code == 0
    assert done.json["valid"]
    assert (done.json["kept"], done.json["cut"], done.json["records"]) == (11, 12, 11)
    assert Path(done.json["backup"]).exists()
    assert paysim("verify", str(journal)).code == 0


def test_people_are_told_what_was_kept(journal: Path, paysim: Run) -> None:
    spoil(journal, 12)
    ran = paysim("verify", str(journal), "--repair")
    assert ran.code == 0
    assert f"{journal}: kept 11 records; the first that could not be read was 12\n" in ran.out
    assert f"{journal}: sound\n" in ran.out


def test_a_wrong_balance_is_mended_without_a_loss(journal: Path, paysim: Run) -> None:
    edit(journal, "UPDATE tally SET minor = minor + 1")
    assert paysim("verify", str(journal)).code == 1
    ran = paysim("verify", str(journal), "--repair")
    assert ran.code == 0
    assert "no record was lost" in ran.out


@pytest.mark.parametrize("size", [0, 50, 100, 1024, 4096, -1])
def test_a_cut_file(size: int, journal: Path, paysim: Run) -> None:
    journal.write_bytes(journal.read_bytes()[:size])
    ran = paysim("verify", str(journal), "--json")
    assert (ran.code, ran.json["valid"]) == (1, False)
    assert ran.err.startswith(f"paysim: {journal}")
    assert paysim("verify", str(journal), "--repair").code in (0, 1)


def test_what_is_no_journal(paysim: Run, tmp_path: Path) -> None:
    edit(tmp_path / "other.db", "CREATE TABLE a (b)")
    (tmp_path / "text").write_text("hello " * 100)
    os.mkfifo(tmp_path / "pipe")
    for name in ("other.db", "text", "pipe", "."):
        path = tmp_path / name
        for more in ((), ("--repair",)):
            ran = paysim("verify", str(path), "--json", *more)
            assert ran.code == 1, name
            assert ran.err.startswith("paysim: ")
            assert "fault of paysim" not in ran.err
            assert ran.json.get("error")
    assert (tmp_path / "text").read_text() == "hello " * 100
    assert paysim("verify", "/").code == 1


@pytest.mark.parametrize("name", ["nowhere.db", "no/where.db", "a\0b", "\ud800"])
def test_a_file_that_is_not_there(name: str, paysim: Run, tmp_path: Path) -> None:
    ran = paysim("verify", str(tmp_path / name), "--json")
    assert ran.code == 64
    assert set(ran.json) == {"error"}
    assert "fault of paysim" not in ran.err


def test_a_journal_that_another_process_writes(journal: Path, paysim: Run) -> None:
    db = sqlite3.connect(journal, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    assert paysim("verify", str(journal)).code == 0
    db.close()


def test_progress_on_a_terminal(journal: Path, terminal: Run) -> None:
    ran = terminal("verify", str(journal))
    assert ran.code == 0
    assert "checking" in ran.out
    assert "checking" not in terminal("verify", "--quiet", str(journal)).out
