"""Status words: what a card's two last bytes say, as a table.

Source: ISO/IEC 7816-4 5.1.3; EMV 4.4 Book 1 9.3, Book 3 6.3.5
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["STATUS_WORDS", "StatusWord", "describe"]


class StatusWord(NamedTuple):
    """A status word: its number, a name for code, and what it says."""

    sw: int
    name: str
    text: str


_ROWS: Final = (
    StatusWord(0x9000, "OK", "done"),
    StatusWord(0x6200, "WARNING", "warning, nothing changed"),
    StatusWord(0x6281, "PART_CORRUPTED", "part of the data may be corrupted"),
    StatusWord(0x6282, "END_OF_FILE", "end of the file reached before the bytes that were asked for"),
    StatusWord(0x6283, "SELECTED_INVALIDATED", "selected file or application is blocked"),
    StatusWord(0x6285, "SELECTED_TERMINATED", "selected file is in termination state"),
    StatusWord(0x6300, "AUTHENTICATION_FAILED", "authentication failed"),
    StatusWord(0x6310, "MORE_DATA", "more data available"),
    StatusWord(0x6400, "EXECUTION_ERROR", "execution error, nothing changed"),
    StatusWord(0x6581, "MEMORY_FAILURE", "memory failure"),
    StatusWord(0x6700, "WRONG_LENGTH", "wrong length"),
    StatusWord(0x6881, "CHANNEL_NOT_SUPPORTED", "logical channel not supported"),
    StatusWord(0x6882, "SECURE_MESSAGING_NOT_SUPPORTED", "secure messaging not supported"),
    StatusWord(0x6883, "LAST_COMMAND_EXPECTED", "last command of the chain expected"),
    StatusWord(0x6884, "CHAINING_NOT_SUPPORTED", "command chaining not supported"),
    StatusWord(0x6900, "COMMAND_NOT_ALLOWED", "command not allowed"),
    StatusWord(0x6981, "INCOMPATIBLE_FILE", "command incompatible with the file"),
    StatusWord(0x6982, "SECURITY_NOT_SATISFIED", "security status not satisfied"),
    StatusWord(0x6983, "METHOD_BLOCKED", "authentication method blocked"),
    StatusWord(0x6984, "DATA_INVALIDATED", "referenced data invalidated; at a tap: try another interface"),
    StatusWord(0x6985, "CONDITIONS_NOT_SATISFIED", "conditions of use not satisfied"),
    StatusWord(0x6986, "NO_CURRENT_FILE", "command not allowed; at a tap: see phone"),
    StatusWord(0x6987, "SECURE_MESSAGING_MISSING", "secure messaging data object missing"),
    StatusWord(0x6988, "SECURE_MESSAGING_INCORRECT", "secure messaging data object incorrect"),
    StatusWord(0x6A80, "WRONG_DATA", "wrong data"),
    StatusWord(0x6A81, "FUNCTION_NOT_SUPPORTED", "function not supported; at SELECT: card is blocked"),
    StatusWord(0x6A82, "FILE_NOT_FOUND", "file or application not found"),
    StatusWord(0x6A83, "RECORD_NOT_FOUND", "record not found"),
    StatusWord(0x6A84, "NO_MEMORY", "not enough memory"),
    StatusWord(0x6A86, "WRONG_P1_P2", "wrong P1 or P2"),
    StatusWord(0x6A87, "LC_INCONSISTENT", "Lc inconsistent with P1 and P2"),
    StatusWord(0x6A88, "DATA_NOT_FOUND", "referenced data not found"),
    StatusWord(0x6B00, "OFFSET_OUTSIDE", "P1 and P2 point outside the file"),
    StatusWord(0x6D00, "INS_NOT_SUPPORTED", "instruction not supported"),
    StatusWord(0x6E00, "CLA_NOT_SUPPORTED", "class not supported"),
    StatusWord(0x6F00, "NO_DIAGNOSIS", "error without a diagnosis"),
)

STATUS_WORDS: Final[Mapping[int, StatusWord]] = {row.sw: row for row in _ROWS}
"""Status word -> its name and words. Source: ISO/IEC 7816-4 5.1.3; EMV 4.4 Book 3 6.3.5"""

_CLASSES: Final = {
    0x61: "done, more bytes to be fetched by GET RESPONSE",
    0x62: "warning, nothing changed",
    0x63: "warning, memory changed",
    0x64: "execution error, nothing changed",
    0x65: "execution error, memory changed",
    0x66: "security error",
    0x67: "wrong length",
    0x68: "function of the class byte not supported",
    0x69: "command not allowed",
    0x6A: "wrong parameters",
    0x6B: "wrong parameters",
    0x6C: "wrong Le",
    0x6D: "instruction not supported",
    0x6E: "class not supported",
    0x6F: "error without a diagnosis",
}


def describe(sw: int) -> str:
    """What a status word says; any number has an answer.

    >>> describe(0x6A82), describe(0x63C2), describe(0x6C1A)
    ('file or application not found', 'verification failed, 2 tries left', 'wrong Le: 26 bytes available')

    Source: ISO/IEC 7816-4 5.1.3
    """
    row = STATUS_WORDS.get(sw)
    if row:
        return row.text
    first, second = sw >> 8, sw & 0xFF
    if first == 0x61:
        return f"done, {second or 256} bytes more by GET RESPONSE"
    if first == 0x6C:
        return f"wrong Le: {second or 256} bytes available"
    if sw & 0xFFF0 == 0x63C0:
        tries = second & 0xF
        return f"verification failed, {tries} {'try' if tries == 1 else 'tries'} left"
    return _CLASSES.get(first, "unknown status word")
