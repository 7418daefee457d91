"""What holds for every test: the same inputs each run, and no verdict by the clock of a shared machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("paysim", derandomize=True, deadline=None, database=None)
settings.load_profile("paysim")
