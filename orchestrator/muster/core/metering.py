"""What runs cost, and under which name they are counted. 1 EUR is 1,000,000 micros."""

import math
from collections.abc import Mapping
from typing import Any, Final

PRICE_MAX: Final = 1_000_000_000
"""Micros per second, 1000 EUR; a worker that declares more counts as this."""
RUN_COST_MAX: Final = 10**15
"""Micros of one run, so that sums stay exact."""
RUNTIME_CHARACTERS_MAX: Final = 100
METER_FIELDS_MAX: Final = 3_000
"""Of one tenant and day, three for each meter; further meters count under their blueprint's name."""
COST_KEPT_MS: Final = 400 * 86_400_000
DURATIONS_KEPT_MS: Final = 30 * 86_400_000
DURATIONS_MAX: Final = 100


def meter_of(blueprint: str, initial_data: Mapping[str, Any]) -> str:
    """The name under which a job's runs are counted: its blueprint's, with the runtime where its input names one.

    >>> meter_of("command", {"runtime": "python:3.11"})
    'command|python:3.11'
    >>> meter_of("orders", {"runtime": 3})
    'orders'
    """
    runtime = initial_data.get("runtime")
    return f"{blueprint}|{runtime[:RUNTIME_CHARACTERS_MAX]}" if isinstance(runtime, str) and runtime else blueprint


def price_micros(eur_per_second: float) -> int:
    """Micros per second of a worker that declares *eur_per_second*.

    >>> price_micros(0.0001)
    100
    """
    return min(round(eur_per_second * 1_000_000), PRICE_MAX) if eur_per_second > 0 else 0


def cost_of(ran_ms: int, price: int) -> int:
    """Micros of one run; as `cost_of` in scripts/_queue.lua, which counts in doubles.

    >>> cost_of(1999, 3)
    5
    """
    return int(min(math.floor(float(ran_ms) * price / 1000), RUN_COST_MAX))
