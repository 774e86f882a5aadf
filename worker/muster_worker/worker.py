"""A worker process: handlers for tasks, run from the first registration to the last result."""

import asyncio
import contextlib
import inspect
import logging
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, overload

from muster_worker.backoff import Backoff
from muster_worker.contracts import In, Out, TaskContract
from muster_worker.durations import Duration
from muster_worker.errors import ClientError, Unreachable
from muster_worker.handlers import Handler, handler_for
from muster_worker.health import Health, health_port
from muster_worker.hot import HotCache
from muster_worker.middleware import Middleware
from muster_worker.needs import checked_labels
from muster_worker.orders import DISCONNECTED, Orders, orders_for
from muster_worker.outcome import NO_CODES, ErrorCodes
from muster_worker.pulse import Pulse, worker_headers
from muster_worker.readiness import Readiness, Ready
from muster_worker.registration import Decorator, NamedDecorator, installed
from muster_worker.runner import Runner
from muster_worker.settings import WorkerSettings, worker_settings
from muster_worker.transport import Transport
from muster_worker.worker_api import WorkerApi

_log = logging.getLogger("muster_worker")


@dataclass(slots=True)
class _Stop:
    """`drain`: finish what runs. `now`: do not even wait for that."""

    drain: asyncio.Event = field(default_factory=asyncio.Event)
    now: asyncio.Event = field(default_factory=asyncio.Event)

    def signalled(self) -> None:
        """The first signal drains, the second stops at once."""
        if self.drain.is_set():
            _log.warning("stopping at once; tasks that still run will be tried again")
            self.now.set()
        else:
            _log.info("draining: running tasks may finish; signal again to stop at once")
            self.drain.set()


class Worker:
    """A set of handlers and how to run them.

    Args:
        url: one orchestrator or several (default MUSTER_URL, comma separated, else http://127.0.0.1:8080).
        token: default MUSTER_WORKER_TOKEN, or the file named by MUSTER_WORKER_TOKEN_FILE; none is needed with a
            certificate (MUSTER_WORKER_TLS_CERT and MUSTER_WORKER_TLS_KEY), whose common name is the worker's id.
        worker_id: default MUSTER_WORKER_ID, else host, process and a random part.
        slots: tasks at a time (default MUSTER_WORKER_SLOTS, else 10). Plain handlers get as many threads.
        drain_timeout: what running tasks get after SIGTERM.
        cost_per_second: in EUR, for accounts (default MUSTER_WORKER_PRICE_PER_SECOND, else 0).
        labels: what tasks may need or prefer, such as `{"gpu": "a100", "region": "eu"}` (and MUSTER_WORKER_LABELS).
        resources: `{"memory": "8GB", "cpu": 4, "gpu": 1, "vram": "24GB"}` (and MUSTER_WORKER_RESOURCES).
        software, models: what is installed, `{"ffmpeg": "6.1"}` and `{"llama-3": "2"}` or names.
        hot: what it has at hand, such as models in memory; tasks may prefer that (`prefer={"hot": "llama-3"}`).
        ready: a function that says, once a second, whether it takes tasks; without one it always does.
        health: a port, or `host:port`, for `GET /health` and `/ready` (default MUSTER_WORKER_HEALTH, else none).
        worker_type, capabilities: shown in the list of workers.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        token: str | None = None,
        worker_id: str | None = None,
        *,
        slots: int | None = None,
        drain_timeout: Duration | None = None,
        cost_per_second: float | None = None,
        worker_type: str | None = None,
        resources: Mapping[str, Any] = MappingProxyType({}),
        capabilities: Mapping[str, Any] = MappingProxyType({}),
        labels: Mapping[str, Any] = MappingProxyType({}),
        software: Mapping[str, Any] = MappingProxyType({}),
        models: Mapping[str, Any] | Sequence[str] = (),
        hot: Iterable[str] = (),
        ready: Ready | None = None,
        health: str | int | None = None,
    ) -> None:
        self._url = url
        self._token = token
        self._worker_id = worker_id
        self._slots = slots
        self._drain_timeout = drain_timeout
        self._cost_per_second = cost_per_second
        self._runtimes: tuple[str, ...] = ()
        self._description = {
            "worker_type": worker_type,
            "installed_software": dict(software),
            "installed_models": installed(models),
            "capabilities": {"websockets": True, **capabilities},
        }
        self._labels = checked_labels(labels)
        self._resources = dict(resources)
        self._handlers: dict[str, Handler] = {}
        self._middlewares: list[Middleware] = []
        self._ready = ready
        self._health = health
        self.hot = HotCache(hot)
        """What it has at hand; `ctx.add_to_hot_cache` of its handlers adds to it."""

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """By task name."""
        return MappingProxyType(self._handlers)

    @overload
    def task(
        self,
        contract: TaskContract[In, Out],
        *,
        slots: int | None = None,
        errors: ErrorCodes = NO_CODES,
        cost_per_second: float | None = None,
    ) -> Decorator[In, Out]: ...
    @overload
    def task(
        self,
        contract: str,
        *,
        slots: int | None = None,
        errors: ErrorCodes = NO_CODES,
        cost_per_second: float | None = None,
    ) -> NamedDecorator: ...
    def task(
        self,
        contract: TaskContract[Any, Any] | str,
        *,
        slots: int | None = None,
        errors: ErrorCodes = NO_CODES,
        cost_per_second: float | None = None,
    ) -> Decorator[Any, Any] | NamedDecorator:
        """Make a function the handler of a task: `@worker.task(charge_card)` or `@worker.task("payments.charge")`.

        `slots` bounds how many of this task run here at a time; the worker asks for no more.
        `errors` gives exceptions of the handler an error code: `{ValueError: PERMANENT_ERROR, BusyError: "BUSY"}`.
        Others are TRANSIENT_ERROR; a retry policy may name the code, or the exception's class.
        `cost_per_second` is the price of this task, for accounts, choices and `max_cost`, instead of the worker's.
        Raises TypeError when the function does not fit the contract, ValueError for a second handler.
        """

        def add(function: Callable[..., Any]) -> None:
            self.add(contract, function, slots=slots, errors=errors, cost_per_second=cost_per_second)

        return NamedDecorator(add) if isinstance(contract, str) else Decorator[Any, Any](add)

    def add(
        self,
        contract: TaskContract[Any, Any] | str,
        function: Callable[..., Any],
        *,
        slots: int | None = None,
        errors: ErrorCodes = NO_CODES,
        cost_per_second: float | None = None,
    ) -> None:
        """The same as `task`, without the decorator and its static checks."""
        handler = handler_for(contract, function, slots, errors, cost_per_second)
        self._add(handler)

    def include(self, other: "Worker") -> None:
        """Take over the handlers of another worker, for example of another module."""
        for handler in other.handlers.values():
            self._add(replace(handler, around=(*other.middlewares, *handler.around)))
        self.offer_runtimes(other.runtimes)

    def middleware(self, function: Middleware) -> Middleware:
        """Put a function around every handler: `async def timed(ctx, value, call_next)`.

        What it returns, usually what `await call_next(value)` returned, is the task's result; what it raises counts as
        raised by the handler. The first one stands outermost. Raises TypeError for a plain function.
        """
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is no middleware: write async def middleware(ctx, value, call_next)")
        self._middlewares.append(function)
        return function

    @property
    def middlewares(self) -> tuple[Middleware, ...]:
        """Around every handler, the outermost first."""
        return tuple(self._middlewares)

    @property
    def runtimes(self) -> tuple[str, ...]:
        """Interpreters for scripts that it says it has, such as `python:3.11`."""
        return self._runtimes

    def offer_runtimes(self, names: Iterable[str]) -> None:
        """Say that it has these too. Estimates take the prices of workers that offer a runtime."""
        self._runtimes = tuple(dict.fromkeys((*self._runtimes, *names)))

    def _add(self, handler: Handler) -> None:
        name = handler.contract.name
        if name in self._handlers:
            raise ValueError(f"task {name!r} has a handler already: {self._handlers[name].function!r}")
        self._handlers[name] = handler

    def settings(
        self,
        *,
        url: str | Sequence[str] | None = None,
        token: str | None = None,
        worker_id: str | None = None,
        slots: int | None = None,
        drain_timeout: Duration | None = None,
        price_per_second: float | None = None,
        labels: str | None = None,
        resources: str | None = None,
        health: str | int | None = None,
    ) -> WorkerSettings:
        """What the worker would run with: these arguments, then the constructor's, then the environment.

        Raises ValueError naming the setting that is missing or wrong.
        """
        return worker_settings(
            url=url if url is not None else self._url,
            token=token or self._token,
            worker_id=worker_id or self._worker_id,
            slots=slots if slots is not None else self._slots,
            drain_timeout=drain_timeout if drain_timeout is not None else self._drain_timeout,
            price_per_second=price_per_second if price_per_second is not None else self._cost_per_second,
            labels=labels,
            resources=resources,
            health=health if health is not None else self._health,
        )

    def run(self, settings: WorkerSettings | None = None) -> None:
        """Run until SIGTERM or SIGINT. Raises ClientError when the orchestrator refuses this worker.

        Raises SystemExit(86) when an operator ordered it to disconnect: its supervisor need not start it again.

        A program that has not set up logging gets the worker's messages on stderr.
        """
        if not logging.getLogger().handlers:
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        if asyncio.run(self._run_with_signals(settings or self.settings())):
            raise SystemExit(DISCONNECTED)

    async def serve(self, stop: asyncio.Event | None = None, settings: WorkerSettings | None = None) -> None:
        """Run inside a program of yours until `stop` is set (then drain) or this is cancelled (then stop at once)."""
        await self._serve(settings or self.settings(), _Stop(drain=stop or asyncio.Event()))

    async def _run_with_signals(self, settings: WorkerSettings) -> bool:
        stop = _Stop()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C stops at once
                loop.add_signal_handler(number, stop.signalled)
        return await self._serve(settings, stop)

    async def _serve(self, settings: WorkerSettings, stop: _Stop) -> bool:
        """True: an operator ended it."""
        if not self._handlers:
            raise ValueError("this worker has no tasks; add one with @worker.task(...)")
        registration = {
            **self._description,
            "supported_tasks": sorted(self._handlers),
            "max_concurrent_tasks": settings.slots,
            "cost_per_second": settings.price_per_second,
            "cost_per_task": {
                name: handler.cost_per_second
                for name, handler in self._handlers.items()
                if handler.cost_per_second is not None
            },
            "slots_per_task": {
                name: handler.slots for name, handler in self._handlers.items() if handler.slots is not None
            },
            "runtimes": list(self._runtimes),
            "labels": {**self._labels, **settings.labels},
            "resources": {**self._resources, **settings.resources},
        }
        async with Transport(settings.addresses, worker_headers(settings.token), settings.tls) as transport:
            api = WorkerApi(transport, settings.worker_id, registration, self.hot)
            if not await _unless(stop.drain, _register(api)):
                return False
            _log.info(
                "worker %s takes %s from %s", settings.worker_id, ", ".join(sorted(self._handlers)), transport.address
            )
            return await self._work(api, settings, registration, stop)

    async def _work(self, api: WorkerApi, settings: WorkerSettings, registration: dict[str, Any], stop: _Stop) -> bool:
        runner = Runner(api, settings.worker_id, settings.slots, self._handlers, self._middlewares, self.hot)
        pulse = Pulse(settings, registration, api.timing, runner.running, runner.stop_task, self.hot)
        orders = orders_for(runner, pulse, settings.slots, stop.drain.set)

        def look() -> Health:
            takes = not orders.is_paused and not stop.drain.is_set()
            return Health(settings.worker_id, len(runner.running), orders.slots, takes, pulse.heard_s)

        async with health_port(settings.health, look):
            pulse.start()
            runner.start()
            try:
                await self._while_ready(orders, stop)
                pulse.drain()
                await runner.take_no_more()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(_unless(stop.now, runner.wait_empty()), settings.drain_timeout_s)
            finally:
                await runner.close()
                await pulse.close()
        return orders.is_ended

    async def _while_ready(self, orders: Orders, stop: _Stop) -> None:
        """Until the drain, which no answer of the worker's own condition may undo."""
        readiness = None if self._ready is None else Readiness(self._ready, orders.set_ready)
        if readiness is not None:
            readiness.start()
        try:
            await stop.drain.wait()
        finally:
            if readiness is not None:
                await readiness.close()


async def _register(api: WorkerApi) -> None:
    """Until an orchestrator answers. A refusal ends the worker: trying again would change nothing."""
    backoff = Backoff()
    while True:
        try:
            await api.register()
        except ClientError as error:
            if not isinstance(error, Unreachable) and error.status < 500:
                raise
            _log.warning("cannot register yet: %s", error)
            await asyncio.sleep(backoff.next_delay_s(error.retry_after_s))
        else:
            return


async def _unless(event: asyncio.Event, work: Any) -> bool:
    """Do the work; give it up when the event comes first. True: it was done."""
    doing = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({doing, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
            return True
        return False
    finally:
        for task in (doing, waiting):
            task.cancel()
        await asyncio.gather(doing, waiting, return_exceptions=True)
