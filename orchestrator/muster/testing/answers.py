"""What stands in for workers: an answer for each task, or the handler of a real worker."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from muster_worker.context import Ctx
from muster_worker.contracts import TaskContract
from muster_worker.durations import Duration, parse_duration_ms
from muster_worker.handlers import Handler, handler_for
from muster_worker.outcome import Outcome, WireOutcome, of_exception, of_invalid_input, of_return, type_name
from muster_worker.running import Running
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from muster.testing.failures import KitError, closest


@dataclass(frozen=True, slots=True)
class Held:
    """The worker has the task and says nothing of it; *delay_ms* from now it answers, if at all."""

    word: str
    is_alive: bool = True
    delay_ms: int | None = None
    outcome: WireOutcome | None = None
    signs_ms: int | None = None
    """The handler itself gives a sign so often."""


@dataclass(frozen=True, slots=True)
class Later:
    """An answer that takes its time; made by `later`."""

    delay_ms: int
    answer: Any
    signs_ms: int | None = None


lost: Final = Held("lost", is_alive=False)
"""As an answer: the worker takes the task and is never heard of again."""
hangs: Final = Held("hangs")
"""As an answer: the worker runs the task until it is cancelled or its timeout is over."""

Reply: TypeAlias = WireOutcome | Held


def later(delay: Duration, answer: Any = None, *, signs: Duration | None = None) -> Later:
    """As an answer: *answer*, after so long a run: `later("10m", Receipt(ref="r1"))`.

    With *signs* the handler tells that it is at it (`ctx.heartbeat()`) so often; without it is silent all the while.
    """
    return Later(parse_duration_ms(delay), answer, None if signs is None else max(parse_duration_ms(signs), 1))


class Mock:
    """The answers to one task. `calls` are the inputs it was given, oldest first."""

    def __init__(self, name: str, contract: TaskContract[Any, Any] | None, answer: Any) -> None:
        self.name = name
        self.contract = contract
        self.calls: list[Any] = []
        self._answer = answer
        self._script = list(answer) if isinstance(answer, list) else None
        for one in self._script if self._script is not None else [answer]:
            _check(name, contract, one)

    def fresh(self) -> "Mock":
        """The same answers from their beginning."""
        return Mock(self.name, self.contract, self._answer)

    async def reply(self, task: Mapping[str, Any], contract: TaskContract[Any, Any]) -> Reply:
        """*task* is the body of a lease. Raises KitError for an answer that fits nothing."""
        try:
            value = contract.load_input(task["params"])
        except ValidationError as error:
            return of_invalid_input(contract, error)
        self.calls.append(copy.deepcopy(value))
        return await self._reply(self._next(), task, contract, value)

    def _next(self) -> Any:
        if self._script is None:
            return self._answer
        if len(self.calls) > len(self._script):
            raise KitError(
                f"task {self.name!r} was asked for {len(self.calls)} times, and its script has {len(self._script)} "
                "answers; add one, or give a function, which answers as often as it is asked"
            )
        return self._script[len(self.calls) - 1]

    async def _reply(self, given: Any, task: Mapping[str, Any], contract: TaskContract[Any, Any], value: Any) -> Reply:
        if isinstance(given, Held):
            return given
        if isinstance(given, Later):
            after = await self._reply(given.answer, task, contract, value)
            return (
                after
                if isinstance(after, Held)
                else Held("later", delay_ms=given.delay_ms, outcome=after, signs_ms=given.signs_ms)
            )
        if isinstance(given, BaseException):
            return of_exception(given, None, task["timeout_seconds"])
        if isinstance(given, Handler):
            return await _called(given, task, value)
        if callable(given):
            return await self._of_function(given, task, contract, value)
        return self._of_value(given, contract)

    async def _of_function(
        self, function: Any, task: Mapping[str, Any], contract: TaskContract[Any, Any], value: Any
    ) -> Reply:
        handler = handler_for(contract, function)
        try:
            returned = await _run(handler, task, value)
        except AssertionError:
            raise  # what the test expects of the input does not hold
        except Exception as error:  # noqa: BLE001 - as a worker takes it
            return of_exception(error, None, task["timeout_seconds"])
        if isinstance(returned, Held | Later | BaseException):
            return await self._reply(returned, task, contract, value)
        return self._of_value(returned, contract)

    def _of_value(self, value: Any, contract: TaskContract[Any, Any]) -> WireOutcome:
        if isinstance(value, Outcome):
            return of_return(contract, value)
        try:
            return {"status": "success", "data": contract.dump_output(value)}
        except (ValidationError, PydanticSerializationError) as error:
            raise KitError(
                f"the mock of task {self.name!r} answers {value!r}, which is not {type_name(contract.output)}: {error}"
            ) from error


class Mocks:
    """By the names of tasks."""

    def __init__(self) -> None:
        self._by_name: dict[str, Mock] = {}
        self.nobody: set[str] = set()
        """Tasks that the test wants no worker for."""

    def add(self, mock: Mock) -> None:
        self._by_name[mock.name] = mock
        self.nobody.discard(mock.name)

    def remove(self, name: str) -> None:
        self._by_name.pop(name, None)
        self.nobody.add(name)

    def get(self, name: str) -> Mock:
        """Raises KitError that names the closest one."""
        if name not in self._by_name:
            raise KitError(f"nobody mocks task {name!r}{closest(name, self._by_name)}")
        return self._by_name[name]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._by_name))

    def fresh(self) -> "Mocks":
        again = Mocks()
        again.nobody = set(self.nobody)
        for mock in self._by_name.values():
            again.add(mock.fresh())
        return again


def _check(name: str, contract: TaskContract[Any, Any] | None, answer: Any) -> None:
    """Whatever can be told of an answer before it is given."""
    given = answer.answer if isinstance(answer, Later) else answer
    if isinstance(given, type) and issubclass(given, BaseException):
        raise TypeError(f"task {name!r}: give an error with its message, such as {given.__name__}('declined')")
    if callable(given) and not isinstance(given, Handler):
        handler_for(contract or TaskContract(name), given)


async def _called(handler: Handler, task: Mapping[str, Any], value: Any) -> WireOutcome:
    try:
        return of_return(handler.contract, await _run(handler, task, value))
    except Exception as error:  # noqa: BLE001 - as a worker takes it
        return of_exception(error, None, task["timeout_seconds"], handler.errors)


async def _run(handler: Handler, task: Mapping[str, Any], value: Any) -> Any:
    arguments = (Ctx(Running(dict(task), None)), value) if handler.takes_ctx else (value,)
    returned = handler.function(*arguments)
    return await returned if handler.is_async else returned
