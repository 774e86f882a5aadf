"""What a state function gets: its job, and the ways to say what comes next."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Generic, Protocol, Unpack, cast, overload

from muster_worker.contracts import Call, TaskContract
from muster_worker.durations import Duration, parse_duration_ms
from muster_worker.task_options import TaskOptions
from typing_extensions import TypeVar

from muster.blueprint.answers import TaskError
from muster.blueprint.asks import Asks
from muster.blueprint.facts import JobFacts
from muster.blueprint.fans import FanOptions, apart, capped
from muster.blueprint.specs import check_fan, child_of, json_of, race_of, spec, undo_of
from muster.blueprint.state import Owner, State
from muster.core.decisions import (
    CANCELLED,
    FAILURE,
    LATE,
    REQUEUE,
    SUCCESS,
    Child,
    Done,
    Fail,
    Fan,
    Go,
    Quarantine,
    Run,
    Sleep,
    TaskSpec,
    WaitFor,
)
from muster.core.decisions import Decision as Next
from muster.core.ids import JobId, is_signal_name
from muster.core.join import ALL, JoinAll, JoinAny, JoinFirst, JoinPolicy, JoinSettled
from muster.core.json import JsonValue
from muster.core.limits import FAN_WIDTH_MAX

InT = TypeVar("InT", default=dict[str, Any])
DataT = TypeVar("DataT", default=dict[str, Any])
ArgT = TypeVar("ArgT")
In = TypeVar("In")
Out = TypeVar("Out")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")

_UNREAD: Final[Any] = object()


class Named(Protocol):
    """A blueprint, where only its name counts."""

    @property
    def name(self) -> str: ...


class Job(Asks, Generic[InT, DataT]):
    """A job inside one of its states. Every method that returns a `Next` only describes it: return its value.

    Values are turned into JSON at once, so a state function fails where the mistake is. Durations are texts
    such as `"30s"`, `"2h"`, `"2d"`, numbers of seconds, or timedeltas.
    """

    __slots__ = ("_data", "_facts", "_input", "_owner")

    def __init__(self, facts: JobFacts, owner: Owner | None, *, input: Any = _UNREAD, data: Any = _UNREAD) -> None:  # noqa: A002 - the word users know
        self._facts = facts
        self._owner = owner
        self._input: Any = input
        self._data: Any = data

    @property
    def id(self) -> str:
        return self._facts.id

    @property
    def tenant(self) -> str:
        return self._facts.tenant

    @property
    def blueprint(self) -> str:
        return self._facts.blueprint

    @property
    def results(self) -> Mapping[str, Any]:
        """The merged data of the task results so far (`state_history` on the wire)."""
        return self._facts.results

    @property
    def input(self) -> InT:
        """What the client sent, as the blueprint's input type. Never changes."""
        if self._input is _UNREAD:
            self._input = self._owner.read_input(self._facts.input) if self._owner else dict(self._facts.input)
        return cast("InT", self._input)

    @property
    def data(self) -> DataT:
        """What the blueprint keeps between states. Change it freely; it is stored when the state function returns."""
        if self._data is _UNREAD:
            self._data = self._owner.read_data(self._facts.data) if self._owner else {}
        return cast("DataT", self._data)

    @data.setter
    def data(self, value: DataT) -> None:
        self._data = value

    def data_json(self) -> JsonValue:
        """`data` as it is to be stored."""
        if self._data is _UNREAD or self._owner is None:
            return self._facts.data
        return self._owner.dump_data(self._data)

    def run(
        self,
        contract: TaskContract[In, Out] | str,
        value: In,
        *,
        ok: State[Out],
        error: State[TaskError] | None = None,
        cancelled: State[None] | None = None,
        on: Mapping[str, State[Any]] | None = None,
        undo: TaskContract[Out, Any] | str | None = None,
        timeout: Duration | None = None,
        retries: int | None = None,
        priority: int = 0,
        key: str = "",
        **options: Unpack[TaskOptions],
    ) -> Next:
        """Have a worker do one task; *ok* gets its result.

        *error* gets a TaskError once retries are used up or cannot help; without it the job ends as failed or
        quarantined, by the error's code. *cancelled* is entered when the task was cancelled; without it the job ends as
        cancelled. *on* maps further outcomes that the worker may report to their states. *timeout* and
        *retries* are the contract's where not given, then the server's. *priority* is -31 to 32, higher goes first.
        *key* is a concurrency key, such as `"customer-42"` or `"site:example.org"`: tasks of a tenant with the same key
        stand under that key's limit, and keys take turns (docs/guides/flow-control.md).
        *options* are `retry`, `schedule_to_start`, `schedule_to_close` and `heartbeat` (docs/guides/failures.md), and
        `needs`, `max_cost`, `prefer` and `choose` (docs/guides/fleet.md): the contract's where not given.

        *undo* is a task that undoes this one: should the job fail later, or be cancelled, the engine runs it on the
        result, after those of all that was done since (docs/guides/control-flow.md).
        """
        asked = spec(contract, value, timeout, retries, priority, key, **options)
        return Run(asked, self._edges(ok, error, cancelled, on), undo_of(contract, undo))

    @overload
    def map(
        self,
        contract: TaskContract[In, Out] | str,
        values: Iterable[In],
        *,
        ok: State[list[Out]],
        error: State[TaskError] | None = None,
        cancelled: State[None] | None = None,
        join: JoinAll | JoinFirst = ALL,
        undo: TaskContract[Out, Any] | str | None = None,
        timeout: Duration | None = None,
        retries: int | None = None,
        priority: int = 0,
        **options: Unpack[FanOptions],
    ) -> Next: ...
    @overload
    def map(
        self,
        contract: TaskContract[In, Out] | str,
        values: Iterable[In],
        *,
        ok: State[Out],
        error: State[TaskError] | None = None,
        cancelled: State[None] | None = None,
        join: JoinAny,
        timeout: Duration | None = None,
        retries: int | None = None,
        priority: int = 0,
        **options: Unpack[FanOptions],
    ) -> Next: ...
    @overload
    def map(
        self,
        contract: TaskContract[In, Out] | str,
        values: Iterable[In],
        *,
        ok: State[list[Out | TaskError]],
        error: State[TaskError] | None = None,
        cancelled: State[None] | None = None,
        join: JoinSettled,
        undo: TaskContract[Out, Any] | str | None = None,
        timeout: Duration | None = None,
        retries: int | None = None,
        priority: int = 0,
        **options: Unpack[FanOptions],
    ) -> Next: ...
    def map(
        self,
        contract: TaskContract[In, Any] | str,
        values: Iterable[In],
        *,
        ok: State[Any],
        error: State[TaskError] | None = None,
        cancelled: State[None] | None = None,
        join: JoinPolicy = ALL,
        undo: TaskContract[Any, Any] | str | None = None,
        timeout: Duration | None = None,
        retries: int | None = None,
        priority: int = 0,
        **options: Unpack[FanOptions],
    ) -> Next:
        """Have workers do the same task on every value at once; *ok* gets the list of results in that order.

        *join* says for which ends it waits (see `Join`): with `Join.any()` *ok* gets one result, with `Join.settled()`
        and `Join.tolerate(n)` a list in which a TaskError stands for each task that failed. At most 10,000 values.
        At most *at_once* of them run at a time. *key* is as in `run`, or a function that gives each value's.

        *undo* is as in `run`, for each value that succeeded. Such a fan waits until all its tasks have ended, also
        where one has failed, so that none succeeds unseen; it goes with `all`, `settled` and `tolerate`.
        """
        own, key_of, at_once = apart(options)
        some = islice(values, FAN_WIDTH_MAX + 1)  # a million of them would block the server before they are refused
        specs = tuple(spec(contract, value, timeout, retries, priority, key_of(value), **own) for value in some)
        return self._fan(capped(specs, at_once), ok, error, cancelled, join, undo_of(contract, undo))

    @overload
    def together(
        self,
        a: Call[Any, A],
        b: Call[Any, B],
        /,
        *,
        ok: State[tuple[A, B]],
        error: State[TaskError] | None = None,
        cancelled: State[None] | None = None,
        priority: int = 0,
        **options: Unpack[FanOptions],
    ) -> Next: ...
    @overload
    def together(
        self,
        a: Call[Any, A],
        b: Call[Any, B],
        c: Call[Any, C],
        /,
        *,
        ok: State[tuple[A, B, C]],
        error: State[TaskError] | None = None,
        cancelled: State[None] | None = None,
        priority: int = 0,
        **options: Unpack[FanOptions],
    ) -> Next: ...
    @overload
    def together(
        self,
        a: Call[Any, A],
        b: Call[Any, B],
        c: Call[Any, C],
        d: Call[Any, D],
        /,
        *,
        ok: State[tuple[A, B, C, D]],
        error: State[TaskError] | None = None,
        cancelled: State[None] | None = None,
        priority: int = 0,
        **options: Unpack[FanOptions],
    ) -> Next: ...
    @overload
    def together(
        self,
        a: Call[Any, A],
        b: Call[Any, B],
        c: Call[Any, C],
        d: Call[Any, D],
        e: Call[Any, E],
        /,
        *,
        ok: State[tuple[A, B, C, D, E]],
        error: State[TaskError] | None = None,
        cancelled: State[None] | None = None,
        priority: int = 0,
        **options: Unpack[FanOptions],
    ) -> Next: ...
    @overload
    def together(
        self,
        a: Call[Any, A],
        b: Call[Any, B],
        /,
        *,
        ok: State[tuple[A | TaskError, B | TaskError]],
        join: JoinSettled,
        error: State[TaskError] | None = None,
        cancelled: State[None] | None = None,
        priority: int = 0,
        **options: Unpack[FanOptions],
    ) -> Next: ...
    @overload
    def together(
        self,
        a: Call[Any, A],
        b: Call[Any, B],
        c: Call[Any, C],
        /,
        *,
        ok: State[tuple[A | TaskError, B | TaskError, C | TaskError]],
        join: JoinSettled,
        error: State[TaskError] | None = None,
        cancelled: State[None] | None = None,
        priority: int = 0,
        **options: Unpack[FanOptions],
    ) -> Next: ...
    @overload
    def together(
        self,
        a: Call[Any, A],
        b: Call[Any, B],
        c: Call[Any, C],
        d: Call[Any, D],
        /,
        *,
        ok: State[tuple[A | TaskError, B | TaskError, C | TaskError, D | TaskError]],
        join: JoinSettled,
        error: State[TaskError] | None = None,
        cancelled: State[None] | None = None,
        priority: int = 0,
        **options: Unpack[FanOptions],
    ) -> Next: ...
    @overload
    def together(
        self,
        a: Call[Any, A],
        b: Call[Any, B],
        c: Call[Any, C],
        d: Call[Any, D],
        e: Call[Any, E],
        /,
        *,
        ok: State[tuple[A | TaskError, B | TaskError, C | TaskError, D | TaskError, E | TaskError]],
        join: JoinSettled,
        error: State[TaskError] | None = None,
        cancelled: State[None] | None = None,
        priority: int = 0,
        **options: Unpack[FanOptions],
    ) -> Next: ...
    @overload
    def together(
        self,
        *calls: Call[Any, Out],
        ok: State[Out],
        join: JoinAny,
        error: State[TaskError] | None = None,
        cancelled: State[None] | None = None,
        priority: int = 0,
        **options: Unpack[FanOptions],
    ) -> Next: ...
    @overload
    def together(
        self,
        *calls: Call[Any, Out],
        ok: State[list[Out]],
        join: JoinFirst,
        error: State[TaskError] | None = None,
        cancelled: State[None] | None = None,
        priority: int = 0,
        **options: Unpack[FanOptions],
    ) -> Next: ...
    def together(
        self,
        *calls: Call[Any, Any],
        ok: State[Any],
        error: State[TaskError] | None = None,
        cancelled: State[None] | None = None,
        join: JoinPolicy = ALL,
        priority: int = 0,
        **options: Unpack[FanOptions],
    ) -> Next:
        """Have workers do different tasks at once (`contract.call(value)` each); *ok* gets the tuple of results.

        *join* is as in `map`; `Join.any()` and `Join.first(k)` are for tasks with the same type of result. Where it
        depends on which of them is first how the job goes on, that is `race`. *at_once* and *key* are as in `map`.
        """
        own, key_of, at_once = apart(options)
        specs = tuple(
            spec(call.contract, call.value, None, None, priority, key_of(call.value), **own) for call in calls
        )
        return self._fan(capped(specs, at_once), ok, error, cancelled, join)

    def race(self, *branches: Next, cancelled: State[None] | None = None) -> Next:
        """Wait for several things; the first to end decides, and leads where it would lead alone.

        `job.race(job.run(quote, q, ok=bought), job.wait_for("stop", ok=stopped), job.sleep("5m", then=too_slow))`: 2 to
        20 branches of `run`, `child`, `wait_for`, one `ask` (neither with `within`) and at most one `sleep`. A task or
        a child that fails for good has ended as well. Tasks and children that lose are cancelled, a question is closed,
        signals that come later are kept. *cancelled* is entered when the job's owner cancels it meanwhile; without it
        the job ends as cancelled.
        """
        edges = {} if cancelled is None else {CANCELLED: self._name(cancelled)}
        return race_of(branches, edges)

    def wait_for(
        self,
        name: str,
        /,
        *,
        ok: State[Any],
        within: Duration | None = None,
        late: State[None] | None = None,
        uploads: Sequence[str] = (),
    ) -> Next:
        """Wait until somebody gives the signal *name* (`POST /api/v1/jobs/{id}/signals/{name}`); *ok* gets its data.

        One that came before is taken at once. *late* is entered when *within* has passed; without it the job fails.
        *uploads* are ids of files: those that are planned uploads, not sent yet, are waited for; when the last has come
        the signal is given by the server, with `{}`. Where none is missing the job goes on at once.
        """
        if not is_signal_name(name):
            raise ValueError(f"a signal is called by 1 to 100 letters, digits, '.', '_', ':' or '-', not {name!r}")
        if (late is not None or uploads) and within is None:
            raise ValueError("job.wait_for(late=... or uploads=...) needs within=..., a duration such as '1h'")
        edges = {SUCCESS: self._name(ok)}
        if late is not None:
            edges[LATE] = self._name(late)
        within_ms = None if within is None else parse_duration_ms(within)
        return WaitFor(name, edges, within_ms, tuple(dict.fromkeys(uploads)))

    def child(
        self,
        blueprint: Named | str,
        input: object,  # noqa: A002 - the word users know
        /,
        *,
        ok: State[Any],
        error: State[TaskError] | None = None,
        cancelled: State[None] | None = None,
        tags: Sequence[str] = (),
        undo: TaskContract[Any, Any] | str | None = None,
        spread: bool = False,
    ) -> Child:
        """Start a job of the same client and wait for its end; *ok* gets its result.

        *error* gets a TaskError where it failed, was put aside or could not be started; without it this job fails.
        *cancelled* is entered when the child, or this job, was cancelled; without it this job ends as cancelled, but a
        child that was cancelled by itself goes to *error* where there is one. A wish to cancel this job goes to the
        child first. *undo* is as in `run`, on the child's result. The value's `id` is the id the child will have.

        A *spread* child lives in any partition, not in that of this job: for long jobs on a cluster. It is started and
        ends by messages, a moment later than another (docs/guides/control-flow.md).
        """
        name = blueprint if isinstance(blueprint, str) else blueprint.name
        value, edges = json_of(input), self._edges(ok, error, cancelled, None)
        over = self._facts.partitions if spread else None
        return child_of(JobId(self.id), name, value, edges, tuple(tags), undo_of(None, undo), over)

    @overload
    def sleep(self, duration: Duration, /, *, then: State[None]) -> Next: ...
    @overload
    def sleep(self, duration: Duration, /, *, then: State[ArgT], argument: ArgT) -> Next: ...
    def sleep(self, duration: Duration, /, *, then: State[Any], argument: object = None) -> Next:
        """Go on in state *then* after a while. The job holds no process meanwhile."""
        return Sleep(parse_duration_ms(duration), self._name(then), json_of(argument))

    @overload
    def go(self, state: State[None], /) -> Next: ...
    @overload
    def go(self, state: State[ArgT], argument: ArgT, /) -> Next: ...
    def go(self, state: State[Any], argument: object = None, /) -> Next:
        """Go on in another state at once."""
        return Go(self._name(state), json_of(argument))

    def done(self, result: object = None) -> Next:
        """End the job well; *result* is what its client gets."""
        return Done(json_of(result))

    def fail(self, message: str) -> Next:
        """End the job as failed, with this message for its client."""
        return Fail(message)

    def quarantine(self, message: str, **details: object) -> Next:
        """Put the job aside for an operator to look at."""
        return Quarantine(message, {name: json_of(value) for name, value in details.items()})

    def _fan(
        self,
        specs: tuple[TaskSpec, ...],
        ok: State[Any],
        error: State[TaskError] | None,
        cancelled: State[None] | None,
        join: JoinPolicy,
        undo: TaskSpec | None = None,
    ) -> Next:
        check_fan(len(specs), join, undo)
        return Fan(specs, self._edges(ok, error, cancelled, None), join, undo)

    def _edges(
        self,
        ok: State[Any],
        error: State[TaskError] | None,
        cancelled: State[None] | None,
        on: Mapping[str, State[Any]] | None,
    ) -> dict[str, str]:
        named: dict[str, State[Any] | None] = {SUCCESS: ok, FAILURE: error, CANCELLED: cancelled}
        if on and REQUEUE in on:
            raise ValueError(
                f"on={{{REQUEUE!r}: ...}}: a task that a worker puts back has not ended; there is no such edge"
            )
        if on and (taken := named.keys() & on.keys()):
            raise ValueError(f"on={{{min(taken)!r}: ...}} is written as ok=, error= or cancelled=")
        return {word: self._name(state) for word, state in {**named, **(on or {})}.items() if state is not None}

    def _name(self, state: State[Any]) -> str:
        if not isinstance(state, State):  # pyright: ignore[reportUnnecessaryIsInstance] - not every caller is typed
            raise TypeError(f"{state!r} is not a state; decorate the function with @<blueprint>.state")
        if self._owner is not None and state.owner is not None and state.owner is not self._owner:
            whose, mine = state.owner.name, self._owner.name
            raise ValueError(f"state {state.name!r} belongs to blueprint {whose!r}, not to {mine!r}")
        return state.name
