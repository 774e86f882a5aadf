"""Task contracts: the name and types of a task, without its code. Blueprints and workers both import them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeVar, Unpack, overload

from pydantic import TypeAdapter

from muster_worker.codec import JsonValue
from muster_worker.durations import Duration
from muster_worker.needs import Where, checked_where
from muster_worker.retry_policy import RetryPolicy
from muster_worker.task_options import TaskOptions
from muster_worker.time_limits import TimeLimits

In = TypeVar("In")
Out = TypeVar("Out")

NAME_LENGTH_MAX = 256
NO_EVENTS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)  # no slots: Python 3.11 then fails on TaskContract[A, B](...)
class TaskContract(Generic[In, Out]):
    """What a task takes and returns. Make one with `task(...)`.

    Attributes:
        input, output: any type pydantic understands; `Any` takes JSON as it comes.
        timeout_ms: longest run of one attempt; None: the server's default.
        retries: further attempts after a transient error; None: the server's default.
        retry: when and for which errors; `retries` wins over its number.
        schedule_to_start_ms, schedule_to_close_ms, heartbeat_ms: further limits, see docs/guides/failures.md.
        where: what it needs of a worker, and who of several gets it; see `Where`.
        events: the events that it may tell with `ctx.event`, by type, with the type of their data; none: any.
    """

    name: str
    input: Any = Any
    output: Any = Any
    timeout_ms: int | None = None
    retries: int | None = None
    retry: RetryPolicy | None = None
    schedule_to_start_ms: int | None = None
    schedule_to_close_ms: int | None = None
    heartbeat_ms: int | None = None
    where: Where = field(default_factory=Where, repr=False, compare=False)
    events: Mapping[str, Any] = field(default_factory=lambda: NO_EVENTS, repr=False, compare=False)
    input_adapter: TypeAdapter[In] = field(init=False, repr=False, compare=False)
    output_adapter: TypeAdapter[Out] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= NAME_LENGTH_MAX:
            raise ValueError(f"a task name has 1 to {NAME_LENGTH_MAX} characters, not {len(self.name)}: {self.name!r}")
        if self.retries is not None and self.retries < 0:
            raise ValueError(f"task {self.name!r}: retries must be 0 or more, not {self.retries}")
        try:
            _ = self.limits
        except ValueError as error:
            raise ValueError(f"task {self.name!r}: {error}") from error
        object.__setattr__(self, "input_adapter", TypeAdapter(self.input))
        object.__setattr__(self, "output_adapter", TypeAdapter(self.output))

    @property
    def limits(self) -> TimeLimits:
        return TimeLimits(self.timeout_ms, self.schedule_to_start_ms, self.schedule_to_close_ms, self.heartbeat_ms)

    def call(self, value: In) -> "Call[In, Out]":
        """This task on one input, for a blueprint's `together` and `race`."""
        return Call(self, value)

    def dump_input(self, value: In) -> JsonValue:
        """Raises pydantic.ValidationError when the value does not fit the input type."""
        return _dump(self.input_adapter, value)

    def load_input(self, data: Any) -> In:
        """Raises pydantic.ValidationError when the data does not fit the input type."""
        return data if self.input is Any else self.input_adapter.validate_python(data)

    def dump_output(self, value: Out) -> JsonValue:
        """Raises pydantic.ValidationError when the value does not fit the output type."""
        return _dump(self.output_adapter, value)

    def load_output(self, data: Any) -> Out:
        """Raises pydantic.ValidationError when the data does not fit the output type."""
        return data if self.output is Any else self.output_adapter.validate_python(data)


@dataclass(frozen=True)
class Call(Generic[In, Out]):
    """A contract and one input for it."""

    contract: TaskContract[In, Out]
    value: In

    def dump_input(self) -> JsonValue:
        return self.contract.dump_input(self.value)


@overload
def task(
    name: str,
    input: type[In],
    output: type[Out],
    *,
    timeout: Duration | None = None,
    retries: int | None = None,
    events: Mapping[str, Any] = ...,
    **options: Unpack[TaskOptions],
) -> TaskContract[In, Out]: ...
@overload
def task(
    name: str,
    input: type[In],
    *,
    timeout: Duration | None = None,
    retries: int | None = None,
    events: Mapping[str, Any] = ...,
    **options: Unpack[TaskOptions],
) -> TaskContract[In, Any]: ...
@overload
def task(
    name: str,
    input: object = ...,
    output: object = ...,
    *,
    timeout: Duration | None = None,
    retries: int | None = None,
    events: Mapping[str, Any] = ...,
    **options: Unpack[TaskOptions],
) -> TaskContract[Any, Any]: ...
def task(
    name: str,
    input: Any = Any,  # noqa: A002 - as in TaskContract
    output: Any = Any,
    *,
    timeout: Duration | None = None,
    retries: int | None = None,
    retry: RetryPolicy | None = None,
    schedule_to_start: Duration | None = None,
    schedule_to_close: Duration | None = None,
    heartbeat: Duration | None = None,
    events: Mapping[str, Any] = NO_EVENTS,
    **where: Unpack[Where],
) -> TaskContract[Any, Any]:
    """Make the contract of a task, for example `task("payments.charge", Charge, Receipt, timeout="30s")`.

    Without types it takes and returns JSON as it comes. *timeout* is the longest run of one attempt, *events* the types
    of data by the types of events that it tells; `TaskOptions` has the other limits, and which workers may do it.
    Raises ValueError for a name, limit, need or number of retries that cannot be, and pydantic's error for a type it
    cannot handle.
    """
    try:
        times = TimeLimits.of(timeout, schedule_to_start, schedule_to_close, heartbeat)
    except ValueError as error:
        raise ValueError(f"task {name!r}: {error}") from error
    return TaskContract(
        name,
        input,
        output,
        times.timeout_ms,
        retries,
        retry,
        times.schedule_to_start_ms,
        times.schedule_to_close_ms,
        times.heartbeat_ms,
        checked_where(where),
        MappingProxyType(dict(events)),
    )


def _dump(adapter: TypeAdapter[Any], value: object) -> JsonValue:
    # Validated first: dumping alone only warns about a value of another type.
    dumped: JsonValue = adapter.dump_python(adapter.validate_python(value), mode="json")
    return dumped
