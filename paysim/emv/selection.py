"""Combination selection: what the card's directory offers and the reader can process (steps C2-C7, F1-F4).

Source: EMV Contactless Book B 3.3; ISO/IEC 7816-4 (SELECT)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from paysim.codec import dol, tlv
from paysim.codec.apdu import Command, Response
from paysim.core.errors import DecodeError

from .outcome import L2, Decision
from .preprocessing import Prepared
from .reader import KERNEL_VISA

__all__ = [
    "KERNELS_BY_RID",
    "PPSE",
    "Candidate",
    "Directory",
    "application",
    "candidates",
    "directory",
    "pdol_entries",
    "requested_kernel",
    "select",
    "wants_kernel1",
]

PPSE: Final = b"2PAY.SYS.DDF01"

KERNELS_BY_RID: Final[Mapping[bytes, int]] = {
    bytes.fromhex("A000000004"): 2,
    bytes.fromhex("A000000003"): 3,
    bytes.fromhex("A000000025"): 4,
    bytes.fromhex("A000000065"): 5,
    bytes.fromhex("A000000152"): 6,
    bytes.fromhex("A000000333"): 7,
}
"""Scheme -> kernel, where the directory names none. Source: EMV Contactless Book B table 3-5"""

VISA_RID: Final = bytes.fromhex("A000000003")

DIRECTORY_ENTRY: Final = 0x61
ADF_NAME: Final = 0x4F
PRIORITY: Final = 0x87
KERNEL_IDENTIFIER: Final = 0x9F2A
EXTENDED_SELECTION: Final = 0x9F29
PDOL: Final = 0x9F38
TTQ: Final = 0x9F66

LOWEST_PRIORITY: Final = 16


pdol_entries = lru_cache(maxsize=256)(dol.decode)
"""The entries of a PDOL (9F38); DecodeError for one that cannot be read."""


class Candidate(NamedTuple):
    """A combination that the card offers too; `name` is the card's ADF name (4F), not the reader's AID."""

    prepared: Prepared
    name: bytes
    priority: int
    """1 is highest, 16 stands for none."""
    extension: bytes
    """Extended selection (9F29), empty where the card has none."""
    position: int

    @property
    def kernel(self) -> int:
        """The kernel identifier."""
        return self.prepared.combination.kernel


class Directory(NamedTuple):
    """What the PPSE said: its entries (61), or why there are none."""

    entries: tuple[dict[int, bytes], ...] = ()
    fault: L2 = L2.OK


def select(name: bytes) -> bytes:
    """The command SELECT by name.

    >>> select(PPSE).hex().upper()
    '00A404000E325041592E5359532E444446303100'
    """
    return Command(0x00, 0xA4, 0x04, 0x00, name, 256).encode()


def directory(response: Response) -> Directory:
    """The entries of the PPSE, in its order (C2).

    Source: EMV Contactless Book B 3.3.2.3
    """
    if not response.ok:
        return Directory(fault=L2.NO_PPSE)
    try:
        tree = tlv.decode(response.data)
    except DecodeError:
        return Directory(fault=L2.PPSE_FAULT)
    inside = tlv.find(tree, 0x6F, 0xA5, 0xBF0C)
    if not isinstance(inside, tuple):
        return Directory(fault=L2.PPSE_FAULT)
    entries = [_flat(value) for tag, value in inside if tag == DIRECTORY_ENTRY]
    return Directory(tuple(entries), L2.OK if entries else L2.EMPTY_CANDIDATE_LIST)


def _flat(tree: tlv.Tree) -> dict[int, bytes]:
    """Tag -> value of the primitive objects, the first of each."""
    found: dict[int, bytes] = {}
    for path, value in tlv.walk(tree):
        found.setdefault(path[-1], value)
    return found


def candidates(
    prepared: Iterable[Prepared], entries: Iterable[Mapping[int, bytes]]
) -> tuple[tuple[Candidate, ...], tuple[Decision, ...]]:
    """What reader and card have in common, best first (C3-C5, F1), and what was decided on the way.

    Source: EMV Contactless Book B 3.3.2.5 to 3.3.3.2
    """
    rows = tuple(entries)
    found: list[Candidate] = []
    why: list[Decision] = []
    for one in prepared:
        for position, entry in enumerate(rows):
            step, words = _mismatch(one, entry)
            if step:
                why.append(Decision(step, f"entry {position + 1}: {words}"))
                continue
            name = entry[ADF_NAME]
            found.append(Candidate(one, name, _priority(entry), entry.get(EXTENDED_SELECTION, b""), position))
            why.append(
                Decision("C5", f"entry {position + 1}: {name.hex().upper()} with kernel {found[-1].kernel}")
            )
    return tuple(sorted(found, key=lambda each: (each.priority, each.position))), tuple(why)


def _mismatch(prepared: Prepared, entry: Mapping[int, bytes]) -> tuple[str, str]:
    """The step that passes this entry over, and why; empty where reader and card match."""
    combination = prepared.combination
    name = entry.get(ADF_NAME, b"")
    if not 5 <= len(name) <= 16:
        return "C3", "no ADF name (4F) of 5 to 16 bytes"
    if not name.startswith(combination.aid):
        return "C4", f"{name.hex().upper()} does not start with {combination.aid.hex().upper()}"
    kernel = requested_kernel(entry.get(KERNEL_IDENTIFIER, b""), name)
    if kernel is None:
        return "C7", "the kernel identifier (9F2A) is too short"
    if kernel and kernel != combination.kernel:
        return "C5", f"the card wants kernel {kernel:X}, not {combination.kernel:X}"
    return "", ""


def _priority(entry: Mapping[int, bytes]) -> int:
    value = entry.get(PRIORITY, b"")
    return (value[0] & 0x0F if value else 0) or LOWEST_PRIORITY


def requested_kernel(identifier: bytes, name: bytes) -> int | None:
    """The kernel that a directory entry asks for (C7): 0 is any, None passes the entry over.

    `identifier` is the value of 9F2A, empty where absent; `name` the ADF name, whose scheme then decides.

    >>> requested_kernel(b"", bytes.fromhex("A0000000031010")), requested_kernel(bytes.fromhex("821234"), b"")
    (3, 8524340)

    Source: EMV Contactless Book B 3.3.2.5, tables 3-4 and 3-5. Assumed: Discover's RID is A000000152.
    """
    if not identifier:
        return KERNELS_BY_RID.get(name[:5], 0)
    if not identifier[0] & 0x80:
        return identifier[0]
    if len(identifier) < 3:
        return None
    return int.from_bytes(identifier[:3] if identifier[0] & 0x3F else identifier)


def application(data: bytes) -> dict[int, bytes]:
    """The data objects of an application's FCI, tag -> value; empty where the bytes are none.

    Source: EMV 4.4 Book 1 table 45
    """
    try:
        tree = tlv.decode(data)
    except DecodeError:
        return {}
    inside = tlv.find(tree, 0x6F)
    return _flat(inside) if isinstance(inside, tuple) else {}


def wants_kernel1(candidate: Candidate, fci: Mapping[int, bytes]) -> bool:
    """Whether a Visa card does not ask for the TTQ in its PDOL, so that kernel 3 cannot process it (F4).

    Source: EMV Contactless Book B 3.3.3.6
    """
    if candidate.kernel != KERNEL_VISA or not candidate.name.startswith(VISA_RID):
        return False
    try:
        return all(entry.tag != TTQ for entry in pdol_entries(fci.get(PDOL, b"")))
    except DecodeError:
        return True
