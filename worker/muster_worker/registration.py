"""How a handler function becomes a task of a worker, typed so that a wrong function is found before it runs."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

from muster_worker.context import Ctx
from muster_worker.contracts import In, Out
from muster_worker.outcome import Outcome

AnyHandler = TypeVar("AnyHandler", bound=Callable[..., Any])


class Decorator(Generic[In, Out]):
    """What `@worker.task(contract)` applies. The function comes back as it was.

    It may be async or plain, take `(ctx, value)` or `(value)`, and may also return an `Outcome`.
    """

    def __init__(self, add: Callable[[Callable[..., Any]], None]) -> None:
        self._add = add

    @overload
    def __call__(
        self, function: Callable[[Ctx, In], Coroutine[Any, Any, Out]], /
    ) -> Callable[[Ctx, In], Coroutine[Any, Any, Out]]: ...
    @overload
    def __call__(
        self, function: Callable[[In], Coroutine[Any, Any, Out]], /
    ) -> Callable[[In], Coroutine[Any, Any, Out]]: ...
    @overload
    def __call__(self, function: Callable[[Ctx, In], Out], /) -> Callable[[Ctx, In], Out]: ...
    @overload
    def __call__(self, function: Callable[[In], Out], /) -> Callable[[In], Out]: ...
    @overload
    def __call__(
        self, function: Callable[[Ctx, In], Awaitable[Out | Outcome]], /
    ) -> Callable[[Ctx, In], Awaitable[Out | Outcome]]: ...
    @overload
    def __call__(
        self, function: Callable[[In], Awaitable[Out | Outcome]], /
    ) -> Callable[[In], Awaitable[Out | Outcome]]: ...
    @overload
    def __call__(self, function: Callable[[Ctx, In], Out | Outcome], /) -> Callable[[Ctx, In], Out | Outcome]: ...
    @overload
    def __call__(self, function: Callable[[In], Out | Outcome], /) -> Callable[[In], Out | Outcome]: ...
    def __call__(self, function: Callable[..., Any], /) -> Callable[..., Any]:
        self._add(function)
        return function


class NamedDecorator:
    """What `@worker.task("name")` applies: the types are read from the function's annotations."""

    def __init__(self, add: Callable[[Callable[..., Any]], None]) -> None:
        self._add = add

    def __call__(self, function: AnyHandler, /) -> AnyHandler:
        self._add(function)
        return function


def installed(models: Mapping[str, Any] | Sequence[str]) -> list[dict[str, Any]]:
    """Models as a registration tells them."""
    if isinstance(models, Mapping):
        return [{"name": name, "version": version} for name, version in models.items()]
    return [{"name": name} for name in models]
