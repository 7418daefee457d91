"""What a card says before a payment: its directory (PPSE), and who it is when selected (FCI).

Source: EMV Contactless Book B 3.3.1 (PPSE); EMV 4.4 Book 1 11.3.4, tables 43 to 46 (FCI)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from paysim.codec import dol, tlv

from .profile import Application

__all__ = ["MARKER", "MARKER_TAG", "PPSE", "directory", "fci", "is_ours"]

PPSE: Final = b"2PAY.SYS.DDF01"

MARKER_TAG: Final = 0xDF7F
MARKER: Final = b"paysim"
"""Stands in BF0C of our cards, so that no real card is taken for one. Assumed: DF7F is free for issuers."""


def directory(applications: Iterable[Application]) -> bytes:
    """The FCI of the PPSE: one entry 61 an application, in the card's order.

    >>> directory([Application(bytes.fromhex("A000000333010101"), "UnionPay")]).hex().upper()
    '6F2E840E325041592E5359532E4444463031A51CBF0C1961174F08A0000003330101015008556E696F6E506179870101'
    """
    entries = tuple((0x61, _entry(application)) for application in applications)
    return tlv.encode(((0x6F, ((0x84, PPSE), (0xA5, ((0xBF0C, entries),)))),))


def fci(application: Application, pdol: Iterable[tuple[int, int]]) -> bytes:
    """The FCI of an application: name, label, priority, language, what it asks of the reader, our marker."""
    asked = dol.encode(tuple(dol.Entry(tag, length) for tag, length in pdol))
    proprietary = (
        (0x50, application.label.encode("ascii")),
        (0x87, bytes((application.priority,))),
        (0x9F38, asked),
        (0x5F2D, b"zhen"),
        (0xBF0C, ((MARKER_TAG, MARKER),)),
    )
    return tlv.encode(((0x6F, ((0x84, application.aid), (0xA5, proprietary))),))


def is_ours(fci_tree: tlv.Tree) -> bool:
    """Whether an application's FCI (decoded) is that of a card of ours.

    >>> is_ours(tlv.decode(fci(Application(b"paysim", "TEST"), [(0x9F66, 4)])))
    True
    """
    return bool(tlv.find(fci_tree, 0x6F, 0xA5, 0xBF0C, MARKER_TAG) == MARKER)


def _entry(application: Application) -> tlv.Tree:
    kernel = ((0x9F2A, application.kernel),) if application.kernel else ()
    return (
        (0x4F, application.aid),
        (0x50, application.label.encode("ascii")),
        (0x87, bytes((application.priority,))),
        *kernel,
    )
