"""What a worker offers, read from its registration: the documented members and those of the SDK."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from muster_worker.needs import InvalidNeeds, checked_labels, parse_size

from muster.core.matching import Offer

_AMOUNTS: Final = {"cpu": ("cpu", "cpu_cores"), "gpu": ("gpu", "gpus", "gpu_count")}
_SIZES: Final = {
    "memory": (("memory", 1), ("memory_gb", 1024**3), ("ram_gb", 1024**3)),
    "vram": (("vram", 1), ("vram_gb", 1024**3)),
}
HOT: Final = "hot"
"""The label under which a worker's `hot_cache` is found."""


def offer_of(
    worker_id: str, types: Sequence[str], cost_per_second: float, facts: Mapping[str, Any], resources: Mapping[str, Any]
) -> Offer:
    """What cannot be read is not offered: a worker of before may say anything."""
    values: dict[str, tuple[str, ...]] = {"worker": (worker_id,)}
    amounts = {"cost": cost_per_second}
    try:
        values |= _labels(facts)
    except (InvalidNeeds, AttributeError, TypeError):
        values["worker"] = (worker_id,)
    values |= dict(_versions("software", facts.get("installed_software")))
    values |= dict(_versions("model", facts.get("installed_models")))
    for name, amount in _amounts(resources):
        try:
            amounts[name] = amount()
        except InvalidNeeds:
            continue
    gpu = resources.get("gpu_info")
    if isinstance(gpu, Mapping) and isinstance(gpu.get("model"), str):
        values["gpu_model"] = (gpu["model"],)
    return Offer(
        frozenset(types), values, amounts, does_all=facts.get("does_all") is True, prices=_prices(types, facts)
    )


def _prices(types: Sequence[str], facts: Mapping[str, Any]) -> dict[str, float]:
    """`cost_per_task`, or `cost_per_skill` among the capabilities; of types that the worker does not offer nothing."""
    capabilities = facts.get("capabilities")
    nested = capabilities.get("cost_per_skill") if isinstance(capabilities, Mapping) else None
    given = facts.get("cost_per_task") or nested
    if not isinstance(given, Mapping):
        return {}
    return {kind: float(given[kind]) for kind in types if kind in given and _is_price(given[kind])}


def _is_price(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given) and given >= 0


def check_offer(facts: Mapping[str, Any], resources: Mapping[str, Any]) -> None:
    """Raises InvalidNeeds for labels and amounts that cannot be."""
    _labels(facts)
    for _, amount in _amounts(resources):
        amount()


def _labels(facts: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    labels = checked_labels(facts.get("labels") or {})
    found = {f"label:{name}": (value,) if isinstance(value, str) else tuple(value) for name, value in labels.items()}
    hot = [*found.get(f"label:{HOT}", ()), *(facts.get("hot_cache") or ()), *(facts.get("hot_skills") or ())]
    if hot:
        found[f"label:{HOT}"] = tuple(text for text in hot if isinstance(text, str))
    return found


def _amounts(resources: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and how to read them: reading may raise InvalidNeeds."""
    gpu = resources.get("gpu_info")
    nested = gpu if isinstance(gpu, Mapping) else {}
    for name, spellings in _AMOUNTS.items():
        for spelling in spellings:
            if spelling in resources:
                yield name, lambda s=spelling: _number(s, resources[s])
                break
    if nested and not any(spelling in resources for spelling in _AMOUNTS["gpu"]):
        yield "gpu", lambda: _number("gpu_info.count", nested.get("count", 1))
    for name, units in _SIZES.items():
        for spelling, unit in units:
            given = resources.get(spelling, nested.get(spelling) if name == "vram" else None)
            if given is not None:
                yield name, lambda g=given, s=spelling, u=unit: _size(s, g, u)
                break


def _size(name: str, given: Any, unit: int) -> float:
    if unit > 1:
        return _number(name, given) * unit
    if isinstance(given, float) and given >= 0:
        return given
    try:
        return parse_size(given)
    except InvalidNeeds as error:
        raise InvalidNeeds(f"resources.{name}: {error}") from error


def _number(name: str, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given) or given < 0:
        raise InvalidNeeds(f"resources.{name} must be a number of 0 or more, not {given!r:.200}")
    return float(given)


def _versions(kind: str, given: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """`{name: version}`, or a list of names or of objects with `name` and `version`."""
    if isinstance(given, Mapping):
        for name, version in given.items():
            yield f"{kind}:{name}", _version(version)
    elif isinstance(given, Sequence) and not isinstance(given, str):
        found: dict[str, tuple[str, ...]] = {}
        for entry in given:
            if isinstance(entry, str):
                found.setdefault(entry, ("",))
            elif isinstance(entry, Mapping) and isinstance(entry.get("name"), str):
                found[entry["name"]] = (*found.get(entry["name"], ()), *_version(entry.get("version")))
        yield from ((f"{kind}:{name}", versions) for name, versions in found.items())


def _version(given: Any) -> tuple[str, ...]:
    return (str(given),) if isinstance(given, str | int | float) and not isinstance(given, bool) else ("",)
