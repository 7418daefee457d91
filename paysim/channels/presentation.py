"""What somebody is shown: the text of a code, and its pictures."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Presentation"]


class Presentation(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the payer, or the shop, is shown.

    `text` is what a scan of the picture gives; `order` the order's id, "" for a standing or a payer's code;
    `expires_ms` when it stops to hold, in Unix ms, None for never.
    """

    channel: str
    text: str
    order: str = ""
    expires_ms: int | None = None

    def png(self, **options: Any) -> bytes:
        """The code as a PNG (options: `qr.symbol.png`)."""
        from paysim.qr import symbol

        return symbol.png(self.text, **options)

    def svg(self, **options: Any) -> str:
        """The code as an SVG (options: `qr.symbol.svg`)."""
        from paysim.qr import symbol

        return symbol.svg(self.text, **options)

    def terminal(self, **options: Any) -> str:
        """The code in half blocks, for a terminal (options: `qr.symbol.terminal`)."""
        from paysim.qr import symbol

        return symbol.terminal(self.text, **options)

    def code128_png(self, **options: Any) -> bytes:
        """A payer's code as Code 128, for scanners of bar codes (options: `qr.symbol.code128_png`)."""
        from paysim.qr import symbol

        return symbol.code128_png(self.text, **options)
