"""How often a random test tries."""

from __future__ import annotations

import os


def count(whole: int) -> int:
    """`whole` when PAYSIM_LONG=1 (`bash tests/run --long`), else a tenth of it, at least one."""
    return whole if os.environ.get("PAYSIM_LONG") == "1" else max(1, whole // 10)
