"""What stands around handlers: a function that is given a task's context and input, and the rest of the way."""

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from muster_worker.context import Ctx

CallNext: TypeAlias = Callable[[Any], Awaitable[Any]]
Middleware: TypeAlias = Callable[[Ctx, Any, CallNext], Awaitable[Any]]
"""`async def timed(ctx, value, call_next): …; return await call_next(value)`."""


def around(middlewares: Sequence[Middleware], ctx: Ctx, call: CallNext) -> CallNext:
    """*call* with the middlewares around it; the first is the outermost."""
    for middleware in reversed(middlewares):
        call = functools.partial(_through, middleware, ctx, call)
    return call


def _through(middleware: Middleware, ctx: Ctx, call_next: CallNext, value: Any) -> Awaitable[Any]:
    return middleware(ctx, value, call_next)
