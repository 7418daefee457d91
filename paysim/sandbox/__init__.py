"""One clock, one seed, one journal, and the actors."""

from .order import Order
from .person import Person, Prompt
from .sandbox import Sandbox
from .shop import Goods, Shop

__all__ = ["Goods", "Order", "Person", "Prompt", "Sandbox", "Shop"]
