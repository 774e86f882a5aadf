"""The functions a worker runs, and whether their annotations fit their contracts."""

import inspect
import math
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeGuard, Union, get_args, get_origin, get_type_hints

from muster_worker.contracts import TaskContract
from muster_worker.outcome import NO_CODES, ErrorCodes, Outcome, type_name

HandlerFunction = Callable[..., Any]
_MISSING: Final = inspect.Parameter.empty
CODE_LENGTH_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Handler:
    """Attributes: `slots` runs at a time at most, None for all that the worker has; `errors`: codes of exceptions."""

    contract: TaskContract[Any, Any]
    function: HandlerFunction
    takes_ctx: bool
    is_async: bool
    slots: int | None = None
    errors: ErrorCodes = field(default_factory=lambda: NO_CODES)
    around: tuple[Callable[..., Any], ...] = ()
    """Middlewares of the worker it came from, where that is another."""
    cost_per_second: float | None = None
    """In EUR, where it is not the worker's."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a handler function's signature says; `Any` where it says nothing."""

    name: str
    takes_ctx: bool
    is_async: bool
    takes: Any
    returns: Any


def handler_for(
    contract_or_name: TaskContract[Any, Any] | str,
    function: HandlerFunction,
    slots: int | None = None,
    errors: ErrorCodes = NO_CODES,
    cost_per_second: float | None = None,
) -> Handler:
    """Raises TypeError when the function cannot be called as a handler or does not fit the contract."""
    is_named = isinstance(contract_or_name, str)
    shape = shape_of(function, must_resolve=is_named)
    if isinstance(contract_or_name, str):
        contract: TaskContract[Any, Any] = TaskContract(contract_or_name, shape.takes, _without_outcome(shape.returns))
    else:
        contract = contract_or_name
        _check_fits(contract, shape)
    if slots is not None and slots < 1:
        raise ValueError(f"task {contract.name!r}: slots must be 1 or more, not {slots}")
    _check_errors(contract.name, errors)
    if cost_per_second is not None and not (math.isfinite(cost_per_second) and cost_per_second >= 0):
        raise ValueError(f"task {contract.name!r}: cost_per_second must be EUR of 0 or more, not {cost_per_second}")
    codes = MappingProxyType(dict(errors))
    return Handler(contract, function, shape.takes_ctx, shape.is_async, slots, codes, cost_per_second=cost_per_second)


def _check_errors(name: str, errors: ErrorCodes) -> None:
    for kind, code in errors.items():
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise TypeError(f"task {name!r}: errors maps classes of exceptions to codes; {kind!r} is none")
        if not isinstance(code, str) or not 1 <= len(code) <= CODE_LENGTH_MAX:
            raise TypeError(
                f"task {name!r}: errors[{kind.__name__}] is a code of 1 to {CODE_LENGTH_MAX} characters, not {code!r}"
            )


def shape_of(function: HandlerFunction, *, must_resolve: bool = True) -> Shape:
    """Read a signature. With `must_resolve`, an annotation that names nothing known is a TypeError."""
    name = getattr(function, "__name__", type(function).__name__)
    parameters = _positional(function, name)
    hints = _hints(function, name, must_resolve=must_resolve)
    value = parameters[-1]
    called = function if inspect.isroutine(function) else type(function).__call__
    return Shape(
        name,
        takes_ctx=len(parameters) == 2,
        is_async=inspect.iscoroutinefunction(inspect.unwrap(called)) or inspect.iscoroutinefunction(called),
        takes=hints.get(value.name, Any),
        returns=hints.get("return", Any),
    )


def _positional(function: HandlerFunction, name: str) -> list[inspect.Parameter]:
    if not callable(function):
        raise TypeError(f"{function!r} is not a function")
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    every = list(inspect.signature(function).parameters.values())
    taken = [p for p in every if p.kind in kinds and p.default is _MISSING]
    needs_more = [p.name for p in every if p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is _MISSING]
    if len(taken) not in (1, 2) or needs_more:
        raise TypeError(f"{name} must take (ctx, value) or (value), not {inspect.signature(function)}")
    return taken


def _hints(function: HandlerFunction, name: str, *, must_resolve: bool) -> dict[str, Any]:
    target = function if inspect.isroutine(function) else type(function).__call__
    try:
        return get_type_hints(target, include_extras=True)
    except (NameError, TypeError) as error:
        if must_resolve:
            raise TypeError(
                f"cannot read the annotations of {name}: {error}; import or define the types at module level"
            ) from error
        return {}


def _check_fits(contract: TaskContract[Any, Any], shape: Shape) -> None:
    returns = _without_outcome(shape.returns)
    if fits(contract.input, shape.takes) and fits(returns, contract.output):
        return
    raise TypeError(
        f"task {contract.name!r} takes {type_name(contract.input)} and returns {type_name(contract.output)}, "
        f"but {shape.name} takes {type_name(shape.takes)} and returns {type_name(returns)}"
    )


def fits(given: Any, wanted: Any) -> bool:
    """Whether a value of type `given` may be used as `wanted`. In doubt yes: the type checker knows better."""
    given, wanted = _plain(given), _plain(wanted)
    if given is Any or wanted is Any or wanted is object or given == wanted:
        return True
    if _is_union(given):
        return all(fits(member, wanted) for member in get_args(given))
    if _is_union(wanted):
        return any(fits(given, member) for member in get_args(wanted))
    given_class, wanted_class = get_origin(given) or given, get_origin(wanted) or wanted
    if not (_is_class(given_class) and _is_class(wanted_class)):
        return True
    return _is_subclass(given_class, wanted_class) and _arguments_fit(get_args(given), get_args(wanted))


def _arguments_fit(given: tuple[Any, ...], wanted: tuple[Any, ...]) -> bool:
    if not given or not wanted or len(given) != len(wanted):
        return True
    return all(fits(g, w) for g, w in zip(given, wanted, strict=True))


def _plain(kind: Any) -> Any:
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    return type(None) if kind is None else kind


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _is_class(kind: Any) -> TypeGuard[type[Any]]:
    return isinstance(kind, type)


def _is_subclass(given: type[Any], wanted: type[Any]) -> bool:
    if _is_typed_dict(wanted):
        return given is dict or _is_typed_dict(given)
    if _is_typed_dict(given):
        return issubclass(dict, wanted)
    if wanted is float and given is int:
        return True
    try:
        return issubclass(given, wanted)
    except TypeError:  # a protocol that cannot be asked
        return True


def _is_typed_dict(kind: type[Any]) -> bool:
    return hasattr(kind, "__total__") and hasattr(kind, "__required_keys__")


def _without_outcome(returns: Any) -> Any:
    """The return type without Outcome, which is no part of a contract."""
    if returns is Outcome:
        return Any
    if not _is_union(returns):
        return returns
    members = tuple(member for member in get_args(returns) if member is not Outcome)
    return Union[members] if members else Any  # noqa: UP007 - made at run time
