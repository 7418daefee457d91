"""What somebody is shown: the text of a code, and its pictures."""

from __future__ import annotations

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

    def png(self, *, error: str = "M", quiet_modules: int = 4, module_px: int = 8) -> bytes:
        """The code as a PNG (`qr.symbol.png`)."""
        from paysim.qr import symbol

        return symbol.png(self.text, error=error, quiet_modules=quiet_modules, module_px=module_px)

    def svg(self, *, error: str = "M", quiet_modules: int = 4, module_px: int = 8) -> str:
        """The code as an SVG (`qr.symbol.svg`)."""
        from paysim.qr import symbol

        return symbol.svg(self.text, error=error, quiet_modules=quiet_modules, module_px=module_px)

    def terminal(self, *, ansi: bool = True, invert: bool = False) -> str:
        """The code in half blocks, for a terminal (`qr.symbol.terminal`)."""
        from paysim.qr import symbol

        return symbol.terminal(self.text, ansi=ansi, invert=invert)

    def code128_png(self, *, module_px: int = 2, height_px: int = 80) -> bytes:
        """A payer's code as Code 128, for scanners of bar codes (`qr.symbol.code128_png`)."""
        from paysim.qr import symbol

        return symbol.code128_png(self.text, module_px=module_px, height_px=height_px)

    def __repr__(self) -> str:
        text = (
            f"{self.text[:2]}...{self.text[-2:]}" if self.channel == "qr.payer" and self.text else self.text
        )
        return f"Presentation({self.channel!r}, {text!r}, order={self.order!r})"
