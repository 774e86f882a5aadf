"""What fans take besides their tasks: a cap on how many run at once, and the concurrency keys of their tasks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from muster_worker.task_options import TaskOptions

from muster.core.decisions import TaskSpec

KeyOf = Callable[[Any], str]


class FanOptions(TaskOptions, total=False):
    """Of `job.map(...)` and `job.together(...)`."""

    key: str | KeyOf
    """Concurrency key of the tasks, or what gives it for each value."""
    at_once: int | None
    """At most so many of the tasks run at a time."""


def apart(options: FanOptions) -> tuple[TaskOptions, KeyOf, int | None]:
    """The options of each task, its key by its value, and the cap."""
    own = {name: option for name, option in options.items() if name not in {"key", "at_once"}}
    key = options.get("key", "")
    return cast("TaskOptions", own), key if callable(key) else lambda _: key, options.get("at_once")


def capped(specs: tuple[TaskSpec, ...], at_once: int | None) -> tuple[TaskSpec, ...]:
    """Raises: ValueError, where none of them could ever run."""
    if at_once is None:
        return specs
    if type(at_once) is not int or at_once < 1:
        raise ValueError(f"at_once={at_once!r}: it takes a whole number, and at least one task must be able to run")
    return tuple(replace(spec, at_once=at_once) for spec in specs)
