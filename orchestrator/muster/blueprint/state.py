"""A state: a function with a name, usable as the target of a transition."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, Generic, TypeAlias, TypeVar, get_type_hints

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from muster.core.decisions import Decision as Next
from muster.core.graph import FAILED, FINISHED
from muster.core.json import JsonObject, JsonValue

ArgT = TypeVar("ArgT", contravariant=True)

_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_UNTYPED: Final = (inspect.Parameter.empty, Any, object)


@dataclass(frozen=True, slots=True)
class Owner:
    """The blueprint a state or a job belongs to, as far as these two need it. Compared by identity."""

    name: str
    read_input: Callable[[JsonObject], Any]
    read_data: Callable[[JsonValue], Any]
    dump_data: Callable[[Any], JsonValue]


class State(Generic[ArgT]):
    """A step of a blueprint. `ArgT` is what its function takes beside the job; `object` where it takes nothing."""

    __slots__ = ("__weakref__", "function", "name", "owner", "to")

    def __init__(
        self, name: str, function: Callable[..., Any] | None, owner: Owner | None, to: "Targets | None" = None
    ) -> None:
        self.name = name
        self.function = function
        self.owner = owner
        self.to = to

    async def call(self, job: Any, *argument: ArgT) -> Next:
        """Run the function as it is, on a job of `job_for`: for tests. Nothing is checked or converted."""
        if self.function is None:
            raise TypeError(f"the built-in state {self.name!r} has no function")
        decided: Next | Awaitable[Next] = self.function(job, *argument)
        return await decided if inspect.isawaitable(decided) else decided

    def __repr__(self) -> str:
        return f"<state {self.name!r} of {self.owner.name!r}>" if self.owner else f"<built-in state {self.name!r}>"


Targets: TypeAlias = Sequence[State[Any] | str] | Mapping[str, State[Any] | str]
"""Of `to=`: states, or the names of states written further down; with labels as a mapping."""

finished: Final[State[object]] = State(FINISHED, None, None)
"""Ends the job well. Usable as a target anywhere."""
failed: Final[State[object]] = State(FAILED, None, None)
"""Ends the job as failed. Usable as a target anywhere."""


class ShapeFault(Exception):
    """A state function whose signature cannot be used. `hint` says what would do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Shape:
    """What a state function's signature says.

    Attributes:
        annotation: type of the argument; `Any` where there is none to check against.
        adapter: turns the stored JSON into the argument; None passes it as it is.
    """

    function: Callable[..., Any]
    is_sync: bool
    takes_argument: bool
    annotation: Any
    adapter: TypeAdapter[Any] | None


def shape_of(function: Callable[..., Any]) -> Shape:
    """Raises ShapeFault."""
    every = list(inspect.signature(function).parameters.values())
    positional = [p for p in every if p.kind in _POSITIONAL]
    others = [p for p in every if p.kind not in _POSITIONAL and p.default is p.empty]
    if len(positional) not in (1, 2) or others:
        taken = ", ".join(str(p) for p in every) or "nothing"
        raise ShapeFault(f"takes ({taken})", "a state takes (job) or (job, argument)")
    is_sync = not inspect.iscoroutinefunction(inspect.unwrap(function))
    if len(positional) == 1:
        return Shape(function, is_sync, takes_argument=False, annotation=Any, adapter=None)
    annotation = _annotation(function, positional[1])
    adapter = None if annotation in _UNTYPED else _adapter(annotation)
    return Shape(function, is_sync, takes_argument=True, annotation=annotation, adapter=adapter)


def _annotation(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    if parameter.annotation is parameter.empty:
        return Any
    written = inspect.unwrap(function)
    # Only this one is read: the job's own annotation may be meant for type checkers alone.
    stub = SimpleNamespace(__annotations__={"argument": parameter.annotation})
    try:
        near = inspect.getclosurevars(written).nonlocals
        return get_type_hints(stub, getattr(written, "__globals__", {}), dict(near), include_extras=True)["argument"]
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise ShapeFault(
            f"has an argument of type {parameter.annotation!r}, which cannot be read: {error}",
            "import or define the type at module level",
        ) from error


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation)
    except PydanticUserError as error:
        raise ShapeFault(
            f"has an argument of type {annotation!r}, which cannot be read from JSON",
            "use a pydantic model, a dataclass, a TypedDict or plain JSON types",
        ) from error
