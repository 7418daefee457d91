"""One interface over every way to pay."""

from .channel import ALL_VERBS, Capabilities, Channel, Claim, Presented, PresentRequest, ShopFacts
from .presentation import Presentation
from .registry import Registry

__all__ = [
    "ALL_VERBS",
    "Capabilities",
    "Channel",
    "Claim",
    "PresentRequest",
    "Presentation",
    "Presented",
    "Registry",
    "ShopFacts",
]
