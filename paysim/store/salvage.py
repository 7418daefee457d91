"""What can be read of a damaged journal file, page by page, without SQLite.

Pages of the main file, overlaid with the committed frames of the write-ahead log, are looked through for
cells of the table `record`, wherever the tree would have put them. Which of them are true is not for the
file to say: the hash chain decides, from record 1 on, and what follows the first gap is let go.

Every length is checked against the bytes at hand, so that any bytes at all end in a Salvage.
Source: sqlite.org fileformat2 1.3 (header), 1.6 (leaves, overflow), 2.1 (records), 4 (the log).
"""

from __future__ import annotations

import mmap
import os
import struct
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from paysim.core.errors import JournalDamaged
from paysim.ledger.journal import GENESIS, Line, chain, decode_event

from .file import PAGE_BYTES, named, wal_of

__all__ = ["Salvage", "salvage", "salvage_file"]

Bytes = bytes | mmap.mmap

_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100
_USABLE_AT_LEAST: Final = 480

_TABLE_LEAF: Final = 0x0D
_LEAF_HEADER_BYTES: Final = 8

_WAL_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24
_WAL_ORDER: Final = {0x377F0682: "<", 0x377F0683: ">"}
"""First number of the log -> byte order of its checksums."""

_COLUMNS: Final = 7
_HASH_BYTES: Final = 32
_CELL_BYTES_AT_LEAST: Final = 2 + 1 + _COLUMNS + _HASH_BYTES
"""Length and position, the record's header, the hash."""

_INT_BYTES: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}
"""Serial type of a whole number -> its bytes. Source: sqlite.org fileformat2 2.1"""

_OVERFLOW_READS: Final = 4
"""How often the pages of a file are read as overflow pages, on average: cells that share a chain are lies."""


class Salvage:
    """The longest run of records from 1 on whose hash chain holds.

    `count` is how many they are, `head` the hash of the last. `cut` is the first position that is missing or
    was edited, 0 where nothing says that there was more.
    """

    __slots__ = ("_cells", "_pages", "count", "cut", "head")

    def __init__(self, pages: _Pages, cells: array[int], count: int, head: bytes, cut: int) -> None:
        self._pages = pages
        self._cells = cells
        self.count = count
        self.head = head
        self.cut = cut

    def lines(self) -> Iterator[Line]:
        """The records, in order."""
        for position in range(1, self.count + 1):
            line = self._pages.line(self._cells[position])
            if line is not None:
                yield line


def salvage_file(path: Path) -> Salvage:
    """What can be read of the file at `path` and the log beside it; StoreError where the system refuses."""
    with named(path):
        return salvage(_bytes(path), _bytes(wal_of(path)))


def _bytes(path: Path) -> Bytes:
    if not path.exists():
        return b""
    with open(path, "rb") as file:
        empty = not os.fstat(file.fileno()).st_size
        return b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def salvage(main: Bytes, wal: Bytes = b"") -> Salvage:
    """What can be read of the bytes of a main file and of its log, whatever they are."""
    layouts = dict.fromkeys([_layout_of_file(main), _layout_of_log(wal), (PAGE_BYTES, 0)])
    found = (_walk(_Pages(main, wal, *layout)) for layout in layouts if layout is not None)
    return max(found, key=lambda salvaged: salvaged.count)


# Which records are true. --------------------------------------------------------------------------


def _walk(pages: _Pages) -> Salvage:
    """Follow the hash chain from record 1 through the cells that claim to be records."""
    cells, others, newest = _claims(pages)
    reads = _OVERFLOW_READS * pages.count
    count, head = 0, GENESIS
    while count + 1 < len(cells):
        for cell in (cells[count + 1], *others.get(count + 1, ())):
            line, reads = pages.line_within(cell, reads)
            if line is not None and _follows(line, count + 1, head):
                break
        else:
            break
        count, head = count + 1, line.hash
        cells[count] = cell
    return Salvage(pages, cells, count, head, count + 1 if newest > count or pages.is_cut else 0)


def _follows(line: Line, position: int, head: bytes) -> bool:
    if line.position != position or chain(head, *line[:5]) != line.hash:
        return False
    try:
        decode_event(line.event, position)
    except JournalDamaged:
        return False
    return True


def _claims(pages: _Pages) -> tuple[array[int], dict[int, list[int]], int]:
    """Where each position is claimed: the first cell by position, further cells, and the highest position."""
    room = pages.bytes // _CELL_BYTES_AT_LEAST + 2  # a position above has no run of records below it
    cells = array("Q", bytes(8 * room))
    others: dict[int, list[int]] = {}
    newest = 0
    for number in pages.numbers():
        for position, cell in pages.claims(number):
            newest = max(newest, position)
            if position >= room:
                continue
            if cells[position]:
                others.setdefault(position, []).append(cell)
            else:
                cells[position] = cell
    return cells, others, newest


# Pages and cells. ---------------------------------------------------------------------------------


class _Cell(NamedTuple):
    """A cell of the table `record`: where its payload begins in the page, and how much of it is there.

    `sizes` are the bytes of each column, `content` where the first begins in the payload.
    """

    position: int
    start: int
    length: int
    local: int
    content: int
    sizes: list[int]


class _Pages:
    """The pages of a file as SQLite would see them. A cell is named by page * 65,536 + its offset there."""

    __slots__ = ("_main", "_overlay", "_size", "_usable", "_wal", "bytes", "count", "is_cut")

    def __init__(self, main: Bytes, wal: Bytes, size: int, reserved: int) -> None:
        self._main = main
        self._wal = wal
        self._size = size
        self._usable = size - reserved
        self._overlay = _committed(wal, size)
        self.bytes = len(main) + len(wal)
        self.count = -(-len(main) // size) + len(self._overlay)
        self.is_cut = self._lacks_pages()

    def _lacks_pages(self) -> bool:
        whole = len(self._main) // self._size
        first = self.page(1)
        claimed = int.from_bytes(first[28:32], "big") if first[:16] == _MAGIC else whole
        logged = sum(whole < number <= claimed for number in self._overlay)
        return claimed > whole + logged or (not whole and bool(self._main))

    def numbers(self) -> Iterator[int]:
        """The numbers of all pages, the last of which may be cut."""
        last = -(-len(self._main) // self._size)
        yield from range(1, last + 1)
        yield from (number for number in self._overlay if number > last)

    def page(self, number: int) -> bytes:
        """The bytes of a page: fewer than a page's where the file ends in it, none where it has none such."""
        logged = self._overlay.get(number)
        if logged is not None:
            return self._wal[logged : logged + self._size]
        return self._main[(number - 1) * self._size : number * self._size] if number else b""

    def claims(self, number: int) -> Iterator[tuple[int, int]]:
        """Position and name of each cell in a page that has the shape of a record."""
        page = self.page(number)
        base = _HEADER_BYTES if number == 1 else 0
        pointers = base + _LEAF_HEADER_BYTES
        if len(page) < pointers or page[base] != _TABLE_LEAF:
            return
        cells = min(int.from_bytes(page[base + 3 : base + 5], "big"), (len(page) - pointers) // 2)
        room = self._usable
        for offset in dict.fromkeys(struct.unpack_from(f">{cells}H", page, pointers)):
            cell = self._cell(page, offset)
            if cell is not None:
                room -= cell.local
                if room < 0:  # cells lie over each other
                    return
                yield cell.position, number << 16 | offset

    def _cell(self, page: bytes, offset: int) -> _Cell | None:
        """The cell at an offset, None where none of the table `record` can be there."""
        try:
            length, at = _varint(page, offset)
            position, start = _varint(page, at)
            header_bytes, at = _varint(page, start)
            sizes = []
            for column in range(_COLUMNS):
                serial, at = _varint(page, at)
                size = _SIZES[column](serial)
                if size is None:
                    return None
                sizes.append(size)
        except IndexError:
            return None
        local = self._local(length)
        end = start + local + (4 if local < length else 0)
        if at != start + header_bytes or header_bytes + sum(sizes) != length or at > start + local:
            return None
        if end > min(len(page), self._usable) or not 0 < position < 2**63:
            return None
        return _Cell(position, start, length, local, header_bytes, sizes)

    def _local(self, length: int) -> int:
        """How much of a payload lies in the leaf. Source: sqlite.org fileformat2 1.6"""
        usable = self._usable
        if length <= usable - 35:
            return length
        least = (usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (usable - 4)
        return local if local <= usable - 35 else least

    def line(self, cell: int) -> Line | None:
        """The record of a cell, None where it is not whole."""
        return self.line_within(cell, self.count)[0]

    def line_within(self, cell: int, reads: int) -> tuple[Line | None, int]:
        """The record of a cell that takes at most `reads` overflow pages, and how many are left."""
        page, offset = self.page(cell >> 16), cell & 0xFFFF
        found = self._cell(page, offset) if cell else None
        if found is None or found.length > self.bytes:
            return None, reads
        payload, reads = self._payload(page, found, reads)
        return (_line(found, payload) if payload is not None else None), reads

    def _payload(self, page: bytes, cell: _Cell, reads: int) -> tuple[bytes | None, int]:
        end = cell.start + cell.local
        parts = [page[cell.start : end]]
        left = cell.length - cell.local
        following = page[end : end + 4]
        while left:
            overflow = self.page(int.from_bytes(following, "big")) if reads else b""
            part = overflow[4 : 4 + min(left, self._usable - 4)]
            if not part:
                return None, reads
            parts.append(part)
            left -= len(part)
            reads -= 1
            if left and len(overflow) < self._usable:
                return None, reads
            following = overflow[:4]
        return b"".join(parts), reads


def _line(cell: _Cell, payload: bytes) -> Line | None:
    at = cell.content
    columns = []
    for size in cell.sizes:
        columns.append(payload[at : at + size])
        at += size
    _, subject, kind, version, key, event, hash_ = columns
    number = int.from_bytes(version, "big", signed=True)
    if not version:  # serial type 9 is the number 1; no version is 0
        number = 1
    try:
        return Line(cell.position, f"{kind.decode()}/{subject.decode()}", number, key.decode(), event, hash_)
    except UnicodeDecodeError:
        return None


def _no_bytes(serial: int) -> int | None:
    return 0 if serial == 0 else None


def _text_bytes(serial: int) -> int | None:
    return (serial - 13) // 2 if serial >= 13 and serial % 2 else None


def _hash_bytes(serial: int) -> int | None:
    return _HASH_BYTES if serial == 12 + 2 * _HASH_BYTES else None


def _key_bytes(serial: int) -> int | None:
    return 0 if serial == 0 else _text_bytes(serial)


_SIZES: Final = (_no_bytes, _text_bytes, _text_bytes, _INT_BYTES.get, _key_bytes, _text_bytes, _hash_bytes)
"""Serial type -> bytes, of each column of `record`; None where the column holds no such thing."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at an offset and the offset behind it; IndexError where the bytes end in it."""
    value = 0
    for _ in range(8):
        byte = data[at]
        at += 1
        if byte < 0x80:
            return value << 7 | byte, at
        value = value << 7 | byte & 0x7F
    return value << 8 | data[at], at + 1


# Layout and log. ----------------------------------------------------------------------------------


def _layout_of_file(main: Bytes) -> tuple[int, int] | None:
    """Page size and reserved bytes that the header names."""
    if main[:16] != _MAGIC or len(main) < _HEADER_BYTES:
        return None
    size = int.from_bytes(main[16:18], "big")
    return _layout(65_536 if size == 1 else size, main[20])


def _layout_of_log(wal: Bytes) -> tuple[int, int] | None:
    return _layout(int.from_bytes(wal[8:12], "big"), 0)


def _layout(size: int, reserved: int) -> tuple[int, int] | None:
    is_size = 512 <= size <= 65_536 and size & (size - 1) == 0
    return (size, reserved) if is_size and size - reserved >= _USABLE_AT_LEAST else None


def _committed(wal: Bytes, size: int) -> dict[int, int]:
    """Page number -> where its newest committed image begins in the log, as far as the checksums hold."""
    header = wal[:_WAL_HEADER_BYTES]
    order = _WAL_ORDER.get(int.from_bytes(header[:4], "big"))
    if len(header) < _WAL_HEADER_BYTES or order is None or int.from_bytes(header[8:12], "big") != size:
        return {}
    salts = header[16:24]
    sums = _checksum(header[:24], order, (0, 0))
    if struct.pack(">2I", *sums) != header[24:]:
        return {}
    pages: dict[int, int] = {}
    pending: dict[int, int] = {}
    step = _FRAME_HEADER_BYTES + size
    for start in range(_WAL_HEADER_BYTES, len(wal) - step + 1, step):
        frame = wal[start : start + _FRAME_HEADER_BYTES]
        image = start + _FRAME_HEADER_BYTES
        if frame[8:16] != salts:
            break
        sums = _checksum(frame[:8] + wal[image : image + size], order, sums)
        if struct.pack(">2I", *sums) != frame[16:]:
            break
        pending[int.from_bytes(frame[:4], "big")] = image
        if any(frame[4:8]):  # the size of the file after a commit
            pages.update(pending)
            pending.clear()
    return pages


def _checksum(data: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    """The two running sums of the log's checksum. Source: sqlite.org fileformat2 4.2"""
    one, two = sums
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for even, odd in zip(words, words, strict=True):
        one = (one + even + two) & 0xFFFFFFFF
        two = (two + odd + one) & 0xFFFFFFFF
    return one, two
