"""The kinds of jobs of a chaos run, and what each must have been in the end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

FAN: Final = 20
NAP_S: Final = 0.3


@dataclass(frozen=True)
class Shape:
    name: str
    blueprint: str
    states: tuple[str, ...]
    input: Callable[[int], dict[str, Any]]
    """By the order's number."""
    result: Callable[[int], Any]
    tasks: int = 1
    retried: bool = False
    cancels: bool = False
    starts_another: bool = False
    """It waits for a child, and fails where that is given up."""


SHAPES: Final = (
    Shape("one", "one", ("one_task",), lambda n: {"type": "work", "params": {"n": n}}, lambda n: {"n": n}),
    Shape("three", "three", ("first", "second", "third"), lambda n: {"type": "work"}, lambda n: {"step": 3}, tasks=3),
    Shape(
        "fan", "fan", ("spread", "gather"), lambda n: {"type": "work", "count": FAN},
        lambda n: {"results": list(range(FAN))}, tasks=FAN,
    ),
    Shape(
        "flaky", "one", ("one_task",), lambda n: {"type": "flaky", "params": {"n": n}}, lambda n: {"n": n}, retried=True
    ),
    Shape(
        "ask", "ask", ("question", "answered"), lambda n: {}, lambda n: {"decision": "approved", "by": "ann"}, tasks=0
    ),
    Shape("nap", "nap", ("lie_down", "awake"), lambda n: {"seconds": NAP_S}, lambda n: {"awake": True}, tasks=0),
    Shape(
        "family", "family", ("start_child", "child_is_done"),
        lambda n: {"blueprint": "one", "input": {"type": "work", "params": {"n": n}}, "spread": True},
        lambda n: {"child": {"n": n}}, tasks=0, starts_another=True,
    ),
    Shape(
        "cancel", "one", ("one_task",), lambda n: {"type": "work", "params": {"n": n}}, lambda n: {"n": n}, cancels=True
    ),
)  # fmt: skip
SHAPE_OF: Final = {shape.name: shape for shape in SHAPES}
