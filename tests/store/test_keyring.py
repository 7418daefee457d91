"""The keys folder: minted once, kept from others, rotated with an overlap, whole after a kill."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paysim.core.errors import ConfigError, UsageError
from paysim.crypto.keys import PrivateKey, SymmetricKey
from paysim.store.keyring import Keyring
from paysim.store.memory_keys import MemoryKeys

STRANGER_UID = 12_345
IS_ROOT = os.geteuid() == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".paysim"


def _mode(path: Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_keys_are_minted_once_and_kept_from_others(folder: Path) -> None:
    old = os.umask(0)
    try:
        ring = Keyring(folder)
        merchant = ring.key("merchant", "rsa-2048")
        secret = ring.key("api-v3", "aes-256")
    finally:
        os.umask(old)
    assert isinstance(merchant, PrivateKey)
    assert isinstance(secret, SymmetricKey)
    again = Keyring(folder)
    assert again.key("merchant", "rsa-2048") == merchant
    assert again.key("api-v3", "aes-256") == secret
    assert _mode(folder) == 0o700
    assert {path.name: _mode(path) for path in folder.iterdir()} == {
        ".gitignore": 0o600, "api-v3.1.key": 0o600, "merchant.1.pem": 0o600,
    }  # fmt: skip
    assert (folder / ".gitignore").read_text() == "*\n"
    assert [(one.name, one.number, one.until_ms) for one in again.all()] == [
        ("api-v3", 1, None),
        ("merchant", 1, None),
    ]
    assert secret.secret.hex() not in repr(again.all())


@pytest.mark.parametrize("kind", ["p-256", "sm2", "sm4", "hmac"])
def test_every_kind_is_kept(kind: Any, folder: Path) -> None:
    assert Keyring(folder).key("one", kind) == Keyring(folder).key("one", kind)


def test_git_sees_none_of_it(folder: Path) -> None:
    if not shutil.which("git"):
        pytest.skip("there is no git")
    subprocess.run(["git", "init", "-q"], cwd=folder.parent, check=True)
    Keyring(folder).key("one", "p-256")
    shown = subprocess.run(
        ["git", "status", "--porcelain"], cwd=folder.parent, capture_output=True, check=True
    )
    assert shown.stdout == b""


def test_a_rotated_key_stays_valid_for_a_while(folder: Path) -> None:
    ring = Keyring(folder)
    first = ring.key("platform", "p-256")
    second = ring.rotate("platform", at_ms=1_000, overlap_ms=500)
    assert second != first
    assert ring.key("platform", "p-256") == second
    assert [one.key for one in ring.held("platform", 1_499)] == [second, first]
    assert [one.key for one in ring.held("platform", 1_500)] == [second]
    third = ring.rotate("platform", at_ms=2_000, overlap_ms=0)
    assert [(one.number, one.until_ms) for one in Keyring(folder).all()] == [
        (1, 1_500),
        (2, 2_000),
        (3, None),
    ]
    assert ring.key("platform", "p-256") == third


def test_a_rotation_that_was_cut_short_changed_nothing(folder: Path) -> None:
    ring = Keyring(folder)
    key = ring.key("platform", "p-256")
    ring.put("platform.1.until", b"1500\n")  # what a kill between the two steps leaves
    assert [(one.key, one.until_ms) for one in ring.held("platform", 9_999)] == [(key, None)]
    assert ring.rotate("platform", at_ms=2_000, overlap_ms=10) != key
    assert [one.until_ms for one in ring.all()] == [2_010, None]


# Who else may look. -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701, 0o770])
def test_a_folder_that_others_may_enter_is_refused(mode: int, folder: Path) -> None:
    ring = Keyring(folder)
    os.chmod(folder, mode)
    for use in (lambda: Keyring(folder), lambda: ring.key("one", "p-256"), ring.all, lambda: ring.get("x")):
        with pytest.raises(ConfigError, match=f"mode 0{mode:o}\\): chmod 700 '{folder}'"):
            use()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused(mode: int, folder: Path) -> None:
    ring = Keyring(folder)
    ring.key("one", "p-256")
    os.chmod(folder / "one.1.pem", mode)
    with pytest.raises(ConfigError, match=f"chmod 600 '{folder}/one.1.pem'"):
        ring.key("one", "p-256")


@pytest.mark.skipif(not IS_ROOT, reason="only root gives files away")
@pytest.mark.parametrize("file", ["", "one.1.pem"])
def test_what_belongs_to_another_is_refused(file: str, folder: Path) -> None:
    ring = Keyring(folder)
    ring.key("one", "p-256")
    os.chown(folder / file, STRANGER_UID, STRANGER_UID)
    with pytest.raises(ConfigError, match=rf"another user \(uid {STRANGER_UID}\).*: chown {os.geteuid()} '"):
        ring.key("one", "p-256")


def test_links_are_refused(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    Keyring(elsewhere).key("one", "p-256")
    folder.symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="is a link or no folder"):
        Keyring(folder)
    folder.unlink()
    ring = Keyring(folder)
    (folder / "one.1.pem").symlink_to(elsewhere / "one.1.pem")
    with pytest.raises(ConfigError, match=r"one.1.pem is a link; keys are files: rm"):
        ring.key("one", "p-256")


def test_other_things_in_its_place(folder: Path) -> None:
    folder.write_text("not a folder")
    with pytest.raises(ConfigError, match="no folder"):
        Keyring(folder)
    folder.unlink()
    ring = Keyring(folder)
    os.mkfifo(folder / "one.1.pem", 0o600)
    with pytest.raises(ConfigError, match="is no file"):
        ring.key("one", "p-256")


@pytest.mark.parametrize("text", [b"", b"junk", b"-----BEGIN PRIVATE KEY-----\nAAAA", bytes(2_000_000)])
def test_a_file_that_is_no_key(text: bytes, folder: Path) -> None:
    ring = Keyring(folder)
    (folder / "one.1.pem").write_bytes(text)
    os.chmod(folder / "one.1.pem", 0o600)
    with pytest.raises(ConfigError, match=r"one.1.pem .*(rm '|no key)"):
        ring.key("one", "p-256")


def test_calls_that_make_no_sense(folder: Path) -> None:
    ring = Keyring(folder)
    ring.key("one", "p-256")
    for name in ("", "../x", "A", "a.b", "x" * 65, None):
        with pytest.raises(UsageError, match="a key's name is"):
            ring.key(name, "p-256")  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="holds p-256, not rsa-2048"):
        ring.key("one", "rsa-2048")
    with pytest.raises(UsageError, match="no key 'two'"):
        ring.rotate("two", at_ms=0, overlap_ms=0)
    with pytest.raises(UsageError, match="0 ms or more"):
        ring.rotate("one", at_ms=0, overlap_ms=-1)
    for file in ("../x", "one.1.pem", ".hidden", ""):
        with pytest.raises(UsageError, match="plain name"):
            ring.put(file, b"")


@pytest.mark.parametrize("made", [Keyring, lambda _folder: MemoryKeys()])
def test_what_was_put_is_removed_once_or_twice(tmp_path: Path, made: Callable[[Path], Any]) -> None:
    ring = made(tmp_path / "keys")
    ring.put("sandbox.json", b"{}")
    for _ in range(2):
        ring.remove("sandbox.json")
        assert ring.get("sandbox.json") is None


def test_a_key_is_not_removed_as_a_file(tmp_path: Path) -> None:
    ring = Keyring(tmp_path / "keys")
    ring.key("merchant", "aes-128")
    with pytest.raises(UsageError):
        ring.remove("merchant.1.key")
    assert (tmp_path / "keys" / "merchant.1.key").exists()


def test_files_beside_the_keys(folder: Path) -> None:
    ring = Keyring(folder)
    assert ring.get("sandbox.json") is None
    path = ring.put("sandbox.json", b"{}")
    assert ring.put("sandbox.json", b"[]") == path
    assert (ring.get("sandbox.json"), _mode(path)) == (b"[]", 0o600)
    assert ring.all() == []


# Others at the same time. -------------------------------------------------------------------------------


def _mint(folder: Path, start: Any, answers: Any) -> None:
    start.wait()
    answers.put(Keyring(folder).key("merchant", "rsa-2048").id)


def test_two_processes_end_with_one_key(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, answers = context.Event(), context.Queue()
    workers = [context.Process(target=_mint, args=(folder, start, answers)) for _ in range(3)]
    for worker in workers:
        worker.start()
    start.set()
    ids = {answers.get(timeout=60) for _ in workers}
    for worker in workers:
        worker.join()
    assert len(ids) == 1
    assert sorted(path.name for path in folder.iterdir()) == [".gitignore", "merchant.1.pem"]


MINTING = """
import sys
from paysim.store.keyring import Keyring
from paysim.store.memory_keys import MemoryKeys
ring = Keyring(sys.argv[1])
print("ready", flush=True)
for number in range(100_000):
    ring.key(f"key-{number}", "p-256")
"""


def test_old_drafts_are_swept_and_new_ones_stay(folder: Path) -> None:
    Keyring(folder)
    for name, age_s in ((".one.1.pem.7-0.draft", 4_000), (".one.1.pem.8-0.draft", 10)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age_s,) * 2)
    Keyring(folder)
    assert sorted(path.name for path in folder.iterdir()) == [".gitignore", ".one.1.pem.8-0.draft"]


@pytest.mark.parametrize("wait_s", [0.0, 0.02, 0.05])
def test_a_kill_leaves_no_half_key(wait_s: float, folder: Path) -> None:
    worker = subprocess.Popen([sys.executable, "-c", MINTING, str(folder)], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"ready\n"
    time.sleep(wait_s)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    ring = Keyring(folder)
    held = ring.all()
    assert all(one.key.kind == "p-256" for one in held)
    assert ring.key(f"key-{len(held)}", "p-256").kind == "p-256"


# What went wrong once. ----------------------------------------------------------------------------------


def test_threads_removed_one_anothers_drafts(folder: Path) -> None:
    ring = Keyring(folder)
    faults: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(40):
                ring.put("sandbox.json", bytes([number]) * 4_000)
                data = ring.get("sandbox.json")
                assert data is not None
                assert data == data[:1] * 4_000
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert sorted(path.name for path in folder.iterdir()) == [".gitignore", "sandbox.json"]


def test_the_draft_of_a_process_with_our_number_elsewhere_was_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = Keyring(folder)
    link, others = os.link, []

    def meet(draft: str, file: str, *, src_dir_fd: int, dst_dir_fd: int, follow_symlinks: bool) -> None:
        """Another container, in which our process number is taken too, mints the same key meanwhile."""
        monkeypatch.setattr(os, "link", link)
        others.append(Keyring(folder).key("merchant", "p-256"))
        os.link(draft, file, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "link", meet)
    assert [ring.key("merchant", "p-256")] == others


def test_a_damaged_time_made_us_advise_to_remove_the_good_key(folder: Path) -> None:
    ring = Keyring(folder)
    first = ring.key("platform", "p-256")
    ring.rotate("platform", at_ms=1_000, overlap_ms=500)
    for text in (b"", b"soon", b"1.5", b"1_000", b"9" * 5_000):
        ring.put("platform.1.until", text)
        with pytest.raises(ConfigError, match=f"echo 0 > '{folder}/platform.1.until'"):
            ring.all()
    ring.put("platform.1.until", b"0\n")
    assert [(one.key == first, one.until_ms) for one in ring.all()] == [(True, 0), (False, None)]


def test_another_names_damaged_key_hid_the_good_ones(folder: Path) -> None:
    ring = Keyring(folder)
    key = ring.key("platform", "p-256")
    ring.key("merchant", "p-256")
    (folder / "merchant.1.pem").write_bytes(b"junk")
    assert [one.key for one in ring.held("platform", 0)] == [key]
    with pytest.raises(ConfigError, match=r"merchant.1.pem cannot be read"):
        ring.held("merchant", 0)


@pytest.mark.parametrize("file", ["Merchant.1.pem", "merchant.1.PEM", "API-V3.1.key"])
def test_a_file_could_replace_a_key_where_disks_see_no_case(file: str, folder: Path) -> None:
    with pytest.raises(UsageError, match="not a key's"):
        Keyring(folder).put(file, b"")


def test_a_file_was_written_that_could_not_be_read_again(folder: Path) -> None:
    ring = Keyring(folder)
    ring.put("big.json", bytes(1 << 20))
    assert ring.get("big.json") == bytes(1 << 20)
    with pytest.raises(UsageError, match="at most 1048576 bytes"):
        ring.put("big.json", bytes((1 << 20) + 1))


def test_a_folder_named_like_a_draft_does_not_stop_the_keyring(folder: Path) -> None:
    Keyring(folder)
    (folder / ".one.draft").mkdir()
    os.utime(folder / ".one.draft", (time.time() - 4_000,) * 2)
    assert Keyring(folder).key("one", "p-256").kind == "p-256"
