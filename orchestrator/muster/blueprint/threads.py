"""Where plain state functions run."""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """What *function* returns or raises, run in a thread of its own with the caller's context variables.

    No pool: one that does not return would hold a place for ever, and a few of them the whole replica. A daemon: it
    must not keep a stopped server from exiting either.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def deliver(result: Any, error: BaseException | None) -> None:
        if answer.done():  # nobody waits any more
            return
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)

    def run() -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = context.run(function, *arguments)
        except StopIteration as stop:  # a future cannot carry one
            error = RuntimeError(f"{getattr(function, '__name__', 'a state function')} raised StopIteration")
            error.__cause__ = stop
        except BaseException as raised:  # noqa: BLE001  handed to whoever waits
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(deliver, result, error)

    threading.Thread(target=run, name="muster-state", daemon=True).start()
    return await answer
