"""From what was held before a camera to what it claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from paysim.channels import Claim, Presentation, Registry
from paysim.core.errors import DecodeError, Unsupported, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Picture", "read_payment"]

Picture: TypeAlias = "str | bytes | Presentation | Image"
"""A text, a Presentation, PNG or JPEG bytes, or a pillow image."""


def read_payment(channels: Registry, picture: Picture) -> tuple[Claim, str]:
    """The one payment in a picture: what it claims, and its text.

    Raises DecodeError where the code is damaged or the picture is none, Unsupported where what was scanned
    is no payment that a channel here knows, UsageError where there is no code or more than one payment.
    """
    texts = _texts(picture)
    if not texts:
        raise UsageError("there is no code in the picture; hold it closer, or check the light")
    claims: list[tuple[Claim, str]] = []
    for text in texts:
        claim = channels.read(text)
        if claim is not None:
            claims.append((claim, text))
    if len(claims) > 1:
        raise UsageError(f"there are {len(claims)} payments in the picture; show one")
    if not claims:
        raise _unpayable(texts[0])
    return claims[0]


def _texts(picture: Picture) -> tuple[str, ...]:
    if isinstance(picture, str):
        return (picture,)
    if isinstance(picture, Presentation):
        return (picture.text,)
    from paysim.qr import scan

    return scan.scan(picture)


def _unpayable(text: str) -> DecodeError | Unsupported:
    from paysim.qr import router

    kind = router.route(text).kind
    return Unsupported(f"that is no payment of a channel here (it looks like: {kind}); nothing was paid")
