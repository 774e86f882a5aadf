"""A blueprint: the states of a kind of job, its input, and its address."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Generic, TypeAlias, TypeVar, cast, overload

from muster_worker.durations import Duration, parse_duration_ms
from muster_worker.outcome import type_name
from muster_worker.time_limits import deadline_ms_of
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from muster.blueprint.conclusions import Decisions, conclusions_of_code
from muster.blueprint.facts import Entered, JobFacts
from muster.blueprint.graphs import versioned
from muster.blueprint.job import DataT, InT, Job
from muster.blueprint.planned import Planned
from muster.blueprint.problems import BlueprintError, InputInvalid, Problem, pointers, said
from muster.blueprint.state import Owner, Shape, State, Targets, shape_of
from muster.blueprint.threads import in_thread
from muster.blueprint.transitions import Transitions, place_of, transitions_of
from muster.core.decisions import Ask, Child, Done, Fail, Fan, Go, Quarantine, Race, Run, Sleep, WaitFor
from muster.core.decisions import Decision as Next
from muster.core.graph import Graph
from muster.core.json import JsonObject, JsonValue
from muster.core.limits import RETENTION_MS_MAX

ArgT = TypeVar("ArgT")
Deciding: TypeAlias = Next | Awaitable[Next]

_DECISIONS = (Run, Fan, Race, Ask, WaitFor, Sleep, Child, Go, Done, Fail, Quarantine)


class Decorator(Generic[InT, DataT]):
    """What `@orders.state(to=...)` returns."""

    def __init__(self, add: Callable[[Callable[..., Any], Targets | None], State[Any]], to: Targets | None) -> None:
        self._add = add
        self._to = to

    @overload
    def __call__(self, function: Callable[[Job[InT, DataT]], Deciding], /) -> State[object]: ...
    @overload
    def __call__(self, function: Callable[[Job[InT, DataT], ArgT], Deciding], /) -> State[ArgT]: ...
    def __call__(self, function: Callable[..., Any], /) -> State[Any]:
        return self._add(function, self._to)


class Blueprint(Generic[InT, DataT]):
    """A typed state machine. Its mistakes are collected, and told all at once when it is loaded.

    Args:
        name: letters, digits, `_`, `.` and `-`.
        input: what `initial_data` must be: a pydantic model, a dataclass or a TypedDict; None: any JSON object.
        data: what `job.data` is, likewise; every member needs a default. None: a dict.
        output: what a finished job's result must be, likewise, or any other type; None: anything.
        endpoint: path below `/api/<api_version>/`; None: `jobs/<name>`.
        retention: how long its jobs are kept once they are over, such as `"30d"`; None: as the server says.
        version: raise it when running jobs must not go on with the new code.
        deadline: a job that has not ended so long after its start fails, where its order says nothing else.
        schedule: `cron(...)` or `every(...)`: a connection of the blueprint's name runs it by itself.
        files: the ids of uploads and artifacts that its input names; a job is refused where its client has not all of
            them. An upload that is planned counts as had.
    """

    def __init__(
        self,
        name: str,
        *,
        input: type[InT] | None = None,  # noqa: A002 - the word users know
        data: type[DataT] | None = None,
        output: Any = None,
        endpoint: str | None = None,
        api_version: str = "v1",
        version: int = 1,
        description: str = "",
        retention: Duration | None = None,
        deadline: Duration | None = None,
        schedule: Planned | None = None,
        files: Callable[[InT], Sequence[str]] | None = None,
    ) -> None:
        self.name = name
        self.input_type = input
        self.data_type = data
        self.output_type = output
        self.endpoint = f"jobs/{name}" if endpoint is None else endpoint.lstrip("/")
        self.api_version = api_version
        self.version_number = version
        self.description = description
        self.retention_ms = None if retention is None else retention_ms_of(retention)
        self.deadline = deadline
        self.schedule = schedule
        self._files = files
        self.file, self.line = _caller()
        self.written: list[State[Any]] = []
        """Every state as decorated, those with the same name too."""
        self.starts: list[State[Any]] = []
        self._states: dict[str, State[Any]] = {}
        self._shapes: dict[str, Shape] = {}
        self._owner = Owner(name, self._read_input, self._read_data, self._dump_data)

    @staticmethod
    def from_dict(spec: Mapping[str, Any], *, name: str = "") -> "Blueprint[Any, Any]":
        """A blueprint that is data (docs/guides/blueprints-as-data.md). *name*: its own, where *spec* has none.

        Raises BlueprintError with all problems, each with a JSON pointer.
        """
        from muster.blueprint.data.definition import from_dict

        return from_dict(spec, name=name)

    def __repr__(self) -> str:
        return f"<blueprint {self.name!r} version {self.version_number}>"

    @overload
    def start(self, function: Callable[[Job[InT, DataT]], Deciding], /) -> State[object]: ...
    @overload
    def start(self, function: Callable[[Job[InT, DataT], ArgT], Deciding], /) -> State[ArgT]: ...
    @overload
    def start(self, *, to: Targets) -> Decorator[InT, DataT]: ...
    def start(self, function: Callable[..., Any] | None = None, *, to: Targets | None = None) -> Any:
        """The state every job begins in."""
        return self._add_start(function, to) if function else Decorator[InT, DataT](self._add_start, to)

    @overload
    def state(self, function: Callable[[Job[InT, DataT]], Deciding], /) -> State[object]: ...
    @overload
    def state(self, function: Callable[[Job[InT, DataT], ArgT], Deciding], /) -> State[ArgT]: ...
    @overload
    def state(self, *, to: Targets) -> Decorator[InT, DataT]: ...
    def state(self, function: Callable[..., Any] | None = None, *, to: Targets | None = None) -> Any:
        """A further state, named as its function.

        *to* names the states it may go to, where the code does not show them: a list, or a mapping from label to
        state. States written further down are given by name.
        """
        return self._add_state(function, to) if function else Decorator[InT, DataT](self._add_state, to)

    @cached_property
    def deadline_ms(self) -> int | None:
        """Raises ValueError for one that cannot be."""
        return None if self.deadline is None else deadline_ms_of(self.deadline)

    @property
    def states(self) -> Mapping[str, State[Any]]:
        return MappingProxyType(self._states)

    @property
    def version(self) -> str:
        """As stored with every job: the version and the start of the graph's hash, such as `1:0f3a9c2e`."""
        return self.graph.version

    @cached_property
    def transitions(self) -> Mapping[str, Transitions]:
        """By state. Read when first wanted, after the whole module has been run."""
        return {name: transitions_of(state, self._states) for name, state in self._states.items()}

    def conclusions(self, state: str) -> Decisions:
        """All that the state may decide, where its code shows that."""
        known = self._states.get(state)
        return None if known is None or known.to is not None else conclusions_of_code(known.function)

    @cached_property
    def graph(self) -> Graph:
        edges = tuple(edge for transitions in self.transitions.values() for edge in transitions.edges)
        start = self.starts[0].name if self.starts else ""
        undos = tuple((state, undo) for state, transitions in self.transitions.items() for undo in transitions.undos)
        return versioned(Graph(self.name, str(self.version_number), start, tuple(self._states), edges, undos))

    @cached_property
    def _targets(self) -> Mapping[str, frozenset[str]]:
        return {name: self.graph.targets(name) for name in self._states}

    @cached_property
    def input_adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.input_type or dict[str, Any])

    @cached_property
    def data_adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.data_type or dict[str, Any])

    @cached_property
    def output_adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(Any if self.output_type is None else self.output_type)

    def output_schema(self) -> JsonObject:
        """JSON Schema of a finished job's result; `{}` where it may be anything."""
        return self._output_schema

    @cached_property
    def _output_schema(self) -> JsonObject:
        return self.output_adapter.json_schema()

    def validate_output(self, result: JsonValue) -> None:
        """Whether a job may finish with *result*. Raises InputInvalid."""
        try:
            self.output_adapter.validate_python(result)
        except ValidationError as error:
            raise InputInvalid(pointers(error)) from error

    def input_schema(self) -> JsonObject:
        """JSON Schema of `initial_data`."""
        return self._schema

    @cached_property
    def _schema(self) -> JsonObject:
        return self.input_adapter.json_schema()

    def validate_input(self, initial_data: JsonObject) -> None:
        """Raises InputInvalid."""
        try:
            self.input_adapter.validate_python(initial_data)
        except ValidationError as error:
            raise InputInvalid(pointers(error)) from error

    def files_named(self, initial_data: JsonObject) -> tuple[str, ...]:
        """The ids of the files that a job of this input is given, each once; *initial_data* is valid."""
        if self._files is None:
            return ()
        return tuple(dict.fromkeys(self._files(self.input_adapter.validate_python(initial_data))))

    def validate_entry(self, state: str, argument: JsonValue, data: JsonValue) -> None:
        """Whether the state could be entered with these. Raises InputInvalid; the pointers begin with what is meant."""
        shape = self.shape(state)
        if not shape.takes_argument and argument is not None:
            raise InputInvalid([{"pointer": "/argument", "detail": f"state {state!r} takes no argument"}])
        for name, adapter, value in (("argument", shape.adapter, argument), ("data", self.data_adapter, data)):
            try:
                if adapter is not None and (name == "argument" or value is not None):
                    adapter.validate_python(value)
            except ValidationError as error:
                raise InputInvalid(
                    [{**one, "pointer": f"/{name}{one['pointer']}"} for one in pointers(error)]
                ) from error

    def is_sync(self, state: str) -> bool:
        """Whether the state's function is a plain one, which runs in a thread."""
        return self.shape(state).is_sync

    def shape(self, state: str) -> Shape:
        """What the state's signature says. Raises BlueprintError for an unknown state, ShapeFault for a bad one."""
        shape = self._shapes.get(state)
        if shape is None:
            function = self._known(state).function
            assert function is not None
            shape = self._shapes[state] = shape_of(function)
        return shape

    def check_argument(self, state: str, argument: JsonValue) -> None:
        """Raises InputInvalid where the state's function could not take *argument*."""
        adapter = self.shape(state).adapter
        try:
            if adapter is not None:
                adapter.validate_python(argument)
        except ValidationError as error:
            raise InputInvalid(pointers(error)) from error

    async def enter(self, state: str, facts: JobFacts, argument: JsonValue = None) -> Entered:
        """Run a state's function and check what it decides.

        Raises BlueprintError for an argument that does not fit, a return value that is no decision and a transition
        that is not declared; whatever the function raises goes through.
        """
        shape = self.shape(state)
        job: Job[Any, Any] = Job(facts, self._owner)
        arguments = (job, self._argument(state, shape, argument)) if shape.takes_argument else (job,)
        if shape.is_sync:
            decided = await in_thread(shape.function, *arguments)
        else:
            decided = await shape.function(*arguments)
        return Entered(self._checked(state, decided), job.data_json())

    def problem(self, state: str, message: str, hint: str = "", line: int = 0) -> Problem:
        """A problem of this blueprint, at its state's function where no better line is known."""
        file, written = place_of(self._states[state].function) if state in self._states else (self.file, self.line)
        return Problem(self.name, file, line or written, message, hint)

    def _argument(self, state: str, shape: Shape, argument: JsonValue) -> Any:
        if shape.adapter is None:
            return argument
        try:
            return shape.adapter.validate_python(argument)
        except ValidationError as error:
            raise self._error(
                state,
                f"state {state!r} cannot take what came: {said(error)}",
                f"its argument is {type_name(shape.annotation)}; the value must be that, as JSON",
            ) from error

    def _checked(self, state: str, decided: object) -> Next:
        if not isinstance(decided, _DECISIONS):
            raise self._error(state, *_nonsense(state, decided))
        for target in _targets_of(decided):
            if target not in self._targets[state]:
                raise self._undeclared(state, target)
        return decided

    def _undeclared(self, state: str, target: str) -> BlueprintError:
        known = sorted(self._targets[state])
        return self._error(
            state,
            f"state {state!r} went to {target!r}, which its code does not show; declared: {', '.join(known) or 'none'}",
            f"write @{self.name}.state(to=[{', '.join(repr(name) for name in [*known, target])}])",
        )

    def _known(self, state: str) -> State[Any]:
        if state in self._states:
            return self._states[state]
        known = ", ".join(self._states) or "none"
        raise self._error(state, f"there is no state {state!r}", f"the states are: {known}")

    def _error(self, state: str, message: str, hint: str) -> BlueprintError:
        return BlueprintError([self.problem(state, message, hint)])

    def _add_start(self, function: Callable[..., Any], to: Targets | None) -> State[Any]:
        state = self._add_state(function, to)
        self.starts.append(state)
        return state

    def _add_state(self, function: Callable[..., Any], to: Targets | None) -> State[Any]:
        state: State[Any] = State(function.__name__, function, self._owner, to)
        self.written.append(state)
        self._states.setdefault(state.name, state)
        for cached in ("graph", "transitions", "_targets"):
            self.__dict__.pop(cached, None)
        return state

    def _read_input(self, initial_data: JsonObject) -> Any:
        return self.input_adapter.validate_python(initial_data) if self.input_type else dict(initial_data)

    def _read_data(self, stored: JsonValue) -> Any:
        # Copied: a state function may change it in place and then fail.
        if self.data_type is None:
            return to_jsonable_python(stored) if stored else {}
        return self.data_adapter.validate_python({} if stored is None else stored)

    def read_data(self, stored: JsonValue) -> Any:
        """`job.data` as it was stored. Raises ValueError where it does not fit."""
        return self._read_data(stored)

    def _dump_data(self, data: Any) -> JsonValue:
        if self.data_type is None:
            return cast("JsonValue", to_jsonable_python(data))
        return cast("JsonValue", self.data_adapter.dump_python(data, mode="json", warnings="error"))


AnyBlueprint: TypeAlias = Blueprint[Any, Any]


def _targets_of(decision: Next) -> tuple[str, ...]:
    """States a decision may lead to; `done`, `fail` and `quarantine` are allowed to every state."""
    match decision:
        case Race():
            inside = [target for branch in decision.branches for target in _targets_of(branch)]
            return (*inside, *decision.edges.values())
        case Run() | Fan() | Ask() | WaitFor() | Child():
            return tuple(decision.edges.values())
        case Sleep() | Go():
            return (decision.target,)
        case _:
            return ()


def _nonsense(state: str, decided: object) -> tuple[str, str]:
    if decided is None:
        return f"state {state!r} returned nothing", "write return in front of job.run(...), job.go(...), job.done(...)"
    if inspect.iscoroutine(decided):
        decided.close()
        return f"state {state!r} returned something not awaited", "write async def, and await what it calls"
    if isinstance(decided, State):
        return f"state {state!r} returned the state {decided.name!r}", f"write return job.go({decided.name})"
    shown = repr(decided)[:80]
    return f"state {state!r} returned {shown}, which is no decision", "return job.run(...), job.go(...), job.done(...)"


def retention_ms_of(retention: Duration) -> int:
    """Raises ValueError for one that is not above zero and at most a year."""
    found = parse_duration_ms(retention)
    if not 0 < found <= RETENTION_MS_MAX:
        raise ValueError(f"retention={retention!r} is not above zero and at most a year")
    return found


def _caller() -> tuple[str, int]:
    """File and line that called `Blueprint(...)`."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return (frame.f_code.co_filename, frame.f_lineno) if frame else ("", 0)
