"""The schedule of a blueprint that is data, in the words that `cron` and `every` take in Python."""

from collections.abc import Mapping
from typing import Any, Final

from muster.blueprint.data.findings import Findings, below
from muster.blueprint.data.json_schema import JsonSchema
from muster.blueprint.data.kinds import named, near
from muster.blueprint.planned import Planned, cron, every
from muster.blueprint.problems import InputInvalid
from muster.core.schedule import ScheduleRefused

_SHARED: Final = ("input", "overlap", "catch_up", "late", "jitter")
SCHEDULE_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {"cron": ("tz", *_SHARED), "every": ("anchor", *_SHARED)}
"""What may stand beside either of the two."""


def read_schedule(given: Any, takes: Mapping[str, Any] | None, found: Findings) -> Planned | None:
    """*takes* is the schema of the blueprint's input, where that can be used. What is wrong goes to *found*."""
    place = "/schedule"
    kinds = [name for name in SCHEDULE_MEMBERS if name in given] if isinstance(given, dict) else []
    if len(kinds) != 1:
        said = " and ".join(kinds) or named(given)
        found.add(
            place, f"a schedule is an object with either `cron` or `every`, not {said}", "write {cron: 0 9 * * *}"
        )
        return None
    (kind,) = kinds
    known = (kind, *SCHEDULE_MEMBERS[kind])
    for name in given:
        if name not in known:
            hint = near(name, known) or f"there are: {', '.join(known)}"
            found.add(below(place, name), f"{name[:80]!r} is not known here", hint)
            return None
    options = {name: value for name, value in given.items() if name != kind}
    if takes is not None:
        _check_input(options.get("input") or {}, takes, f"{place}/input", found)
    try:
        make: Any = cron if kind == "cron" else every
        planned: Planned = make(given[kind], **options)
    except (ScheduleRefused, ValueError, TypeError) as refused:
        found.add(place, str(refused)[:300], "see docs/guides/schedules.md")
        return None
    return planned


def _check_input(given: Any, takes: Mapping[str, Any], place: str, found: Findings) -> None:
    try:
        JsonSchema(takes).check(given)
    except InputInvalid as error:
        for one in error.errors:
            found.add(f"{place}{one['pointer']}", f"this does not fit the input: {one['detail']}")
