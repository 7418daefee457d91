"""What goes wrong, and when: values, never flags inside a machine."""

from .fault import ACTIONS, EVERYWHERE, POINTS, Fault
from .limiter import Limiter
from .plan import FaultPlan

__all__ = ["ACTIONS", "EVERYWHERE", "POINTS", "Fault", "FaultPlan", "Limiter"]
