"""What states of a job were entered with: kept beside the job, the newest of each state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from muster.core.json import JsonValue


@dataclass(frozen=True, slots=True)
class Entered:
    """A state's last entry. `order` compares with that of others; `data` is the blueprint's own as it was then."""

    order: tuple[int, int]
    argument: JsonValue
    data: Any


def dump_entered(version: int, transitions: int, argument: JsonValue, data: Any) -> bytes:
    """*version* of the job and number of the transition: together they grow."""
    return orjson.dumps([version, transitions, argument, data])


def load_entered(stored: Mapping[str, bytes]) -> dict[str, Entered]:
    """By state, the last one entered last."""
    found: dict[str, Entered] = {}
    for state, blob in stored.items():
        version, transitions, argument, data = orjson.loads(blob)
        found[state] = Entered((version, transitions), argument, data)
    return dict(sorted(found.items(), key=lambda pair: pair[1].order))
