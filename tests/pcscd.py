"""A PC/SC daemon of our own with virtual readers: started where it disturbs nobody, stopped by its number.

It has its own configuration folder and ports. Where namespaces may be made (root, or anybody on a machine
that lets users make them) it has its own runtime directory, so that it lives beside a daemon of the machine,
and as root its own network, so that nobody outside reaches the virtual readers: they listen on all addresses.
That network outlives the daemon: a card's process in it meets the next one there. Elsewhere, root starts it
as it is, once a machine. pcsc-lite 2 with polkit wants `--disable-polkit`.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib.util
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

DRIVERS: Final = tuple(
    Path(folder) / "serial/libifdvpcd.so"
    for folder in ("/usr/lib/pcsc/drivers", "/usr/lib64/pcsc/drivers", "/usr/local/lib/pcsc/drivers")
)
RUNTIME: Final = Path("/run/pcscd")
NAME: Final = "PCSCLITE_CSOCK_NAME"
"""The variable by which clients of this process find the daemon."""

WAIT_S: Final = 20


def missing() -> str:
    """What keeps a daemon from being started here, with the line that mends it; "" where nothing does."""
    if sys.platform != "linux":
        return "pcscd with a virtual reader is tried on Linux alone"
    if importlib.util.find_spec("smartcard") is None:
        return "pyscard is missing: apt-get install libpcsclite-dev swig gcc && pip install 'paysim[pcsc]'"
    if program() is None:
        return "pcscd is missing: apt-get install pcscd"
    if driver() is None:
        return "the virtual reader is missing: apt-get install vsmartcard-vpcd"
    if not isolations() and os.geteuid() != 0:
        return "pcscd has no runtime directory here: as root, or where users may make namespaces"
    return ""


def program() -> str | None:
    return shutil.which("pcscd") or next(
        (p for p in ("/usr/sbin/pcscd", "/sbin/pcscd") if Path(p).exists()), None
    )


def driver() -> Path | None:
    return next((path for path in DRIVERS if path.exists()), None)


def isolations() -> list[str]:
    """What `unshare` may be told here, most private first."""
    wanted = ["--mount --net", "--mount"] if os.geteuid() == 0 else ["--map-root-user --mount"]
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return []
    tried = (["unshare", *words.split(), "true"] for words in wanted)
    return [
        words
        for words, line in zip(wanted, tried, strict=True)
        if subprocess.run(line, capture_output=True, check=False).returncode == 0
    ]


def _free_pair() -> int:
    """A port that is free, as is the next: the driver takes both."""
    for port in range(20_001 + os.getpid() % 20_000 // 2 * 2, 65_000, 2):
        try:
            with socket.socket() as one, socket.socket() as two:
                one.bind(("0.0.0.0", port))
                two.bind(("0.0.0.0", port + 1))
                return port
        except OSError:
            continue
    raise RuntimeError("no two free ports")


class Pcscd:
    """The daemon. `port` and `port + 1` are its virtual readers' ports, `names` what they are called."""

    def __init__(self, friendly: str = "Virtual PCD", *options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pcscd-"))
        self.friendly = friendly
        self.names = (f"{friendly} 00 00", f"{friendly} 00 01")
        isolation = next(iter(isolations()), "").split()
        self._network = _new_network() if "--net" in isolation else -1
        self.isolation = [word for word in isolation if word != "--net"]
        self.port = _free_pair() if self._network < 0 else 35963
        self.process: subprocess.Popen[bytes] | None = None
        self._options = options
        self._before = os.environ.get(NAME)
        self._configure()

    def _configure(self) -> None:
        (self.folder / "readers").mkdir(exist_ok=True)
        (self.folder / "run").mkdir(exist_ok=True)
        rows = {
            "FRIENDLYNAME": f'"{self.friendly}"',
            "DEVICENAME": f"/dev/null:0x{self.port:04X}",
            "LIBPATH": str(driver()),
            "CHANNELID": f"0x{self.port:04X}",
        }
        text = "".join(f"{key} {value}\n" for key, value in rows.items())
        (self.folder / "readers" / "vpcd").write_bytes(text.encode(errors="surrogateescape"))

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> Pcscd:
        """Start it, and wait until its readers listen and its clients' socket is there."""
        if self.process is not None:
            raise RuntimeError("it is running already")
        line = [str(program()), "--foreground", "-c", str(self.folder / "readers"), *self._options]
        if self.isolation:
            line = self.command("unshare", *self.isolation, "sh", "-c", self._mounted(), "sh", *line)
        else:
            RUNTIME.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if self.isolation:
            os.environ[NAME] = str(self.folder / "run" / "pcscd.comm")
        self._until(lambda: self._listens() and self._socket().exists(), "pcscd does not start")
        return self

    def _mounted(self) -> str:
        """The script that gives the daemon its own runtime directory."""
        run = self.folder / "run"
        made = f"[ -d {RUNTIME} ] || {{ mount -t tmpfs none /run && mkdir {RUNTIME}; }}"
        if str(run).startswith("/run/"):
            raise RuntimeError("the temporary folder lies under /run, which the daemon is not to see")
        return f'{made} && mount --bind {run} {RUNTIME} && exec "$@"'

    def _socket(self) -> Path:
        return (self.folder / "run" if self.isolation else RUNTIME) / "pcscd.comm"

    def _listens(self) -> bool:
        with self.network():
            table = Path("/proc/thread-self/net/tcp").read_text(encoding="ascii")
        ends = {row.split()[1].partition(":")[2] for row in table.splitlines()[1:] if row.split()[3] == "0A"}
        return {f"{self.port:04X}", f"{self.port + 1:04X}"} <= ends

    def _until(self, there: Callable[[], bool], words: str) -> None:
        end = time.monotonic() + WAIT_S
        while not there():
            if self.process is None or self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{words}:\n{self.log()}")
            time.sleep(0.005)

    def log(self) -> str:
        """What it has said, the end of it."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")[-4000:]

    def stop(self) -> None:
        """Stop it by its number and wait for its end; nothing where it is not running."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def rename(self, friendly: str) -> None:
        """Stop it, and start it with readers of another name; a process has one daemon for all its life."""
        self.stop()
        self.friendly = friendly
        self.names = (f"{friendly} 00 00", f"{friendly} 00 01")
        self._configure()
        self.start()

    def close(self) -> None:
        """Stop it, and leave nothing behind."""
        self.stop()
        os.environ.pop(NAME, None)
        if self._before is not None:
            os.environ[NAME] = self._before
        if self._network >= 0:
            os.close(self._network)
            self._network = -1
        shutil.rmtree(self.folder, ignore_errors=True)

    # Its network. ---------------------------------------------------------------------------------

    def dial(self, address: tuple[str, int], timeout_s: float | None = None) -> socket.socket:
        """A connection made in the daemon's network: `socket.create_connection` for who is outside."""
        with self.network():
            return socket.create_connection(address, timeout_s)

    @contextmanager
    def network(self) -> Iterator[None]:
        """This thread is in the daemon's network inside."""
        if self._network < 0:
            yield
            return
        with open("/proc/thread-self/ns/net") as ours:
            _enter(self._network)
            try:
                yield
            finally:
                _enter(ours.fileno())

    def command(self, *line: str) -> list[str]:
        """The command line that runs `line` in the daemon's network, whether it runs or not."""
        if self._network < 0:
            return list(line)
        return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self._network}", *line]

    def memory_kb(self) -> int:
        """How much memory it holds."""
        rows = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines()
        return int(next(row for row in rows if row.startswith("VmRSS")).split()[1])


_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_NETWORK: Final = 0x40000000
"""Source: linux/sched.h, CLONE_NEWNET"""
_SET_FLAGS: Final = 0x8914
_UP: Final = 0x49
"""Source: linux/sockios.h, SIOCSIFFLAGS; linux/if.h, IFF_UP, IFF_LOOPBACK and IFF_RUNNING"""


def _new_network() -> int:
    """A handle that keeps a network of its own, its loopback up: a thread makes it, and goes."""
    made: list[int] = []

    def make() -> None:
        if _LIBC.unshare(_NETWORK) == 0:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
                fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH14x", b"lo", _UP))
            made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if not made:
        raise RuntimeError("no network of its own can be made here")
    return made[0]


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "setns")
