"""What goes wrong, and when: values, never flags inside a machine."""

from .fault import ACTIONS, POINTS, Fault
from .plan import FaultPlan

__all__ = ["ACTIONS", "POINTS", "Fault", "FaultPlan"]
