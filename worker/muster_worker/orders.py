"""What an operator orders of a worker, and how the worker obeys: over its socket at once, else with a heartbeat."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Final

from muster_worker.pulse import Pulse
from muster_worker.runner import Runner

DISCONNECTED: Final = 86
"""Exit code of a worker that was ordered to end: its supervisor need not start it again."""
_log = logging.getLogger("muster_worker")


class Orders:
    """Lives on the main loop; `told` may be called from any thread.

    Args:
        pause, go_on: stop taking tasks, take them again.
        resize: take so many at a time.
        end: finish what runs, then stop.
    """

    def __init__(
        self,
        pause: Callable[[], None],
        go_on: Callable[[], None],
        resize: Callable[[int], None],
        end: Callable[[], None],
        slots: int = 0,
    ) -> None:
        self._pause = pause
        self._go_on = go_on
        self._resize = resize
        self._end = end
        self._loop = asyncio.get_running_loop()
        self.is_drained = False
        """By an operator."""
        self.is_ready = True
        """By the worker's own condition."""
        self.is_ended = False
        self.slots = slots

    @property
    def is_paused(self) -> bool:
        return self.is_drained or not self.is_ready

    def set_ready(self, ready: bool) -> None:
        """The worker's own condition: holds it back like a drain, and does not end one."""
        if ready != self.is_ready:
            _log.info("ready for tasks" if ready else "not ready for tasks: running ones may finish")
            was, self.is_ready = self.is_paused, ready
            self._follow(was)

    def command(self, command: dict[str, Any]) -> None:
        """A frame of the socket."""
        match command:
            case {"command": "resize", "slots": int(slots)}:
                self._obey(None, slots)
            case {"command": "drain" | "disconnect" as order}:
                self._obey(order, None)
            case {"command": "resume"}:
                self._obey("", None)
            case _:
                pass  # a newer orchestrator may send what this worker does not know

    def told(self, order: str | None, slots: int | None) -> None:
        """What a heartbeat's answer says is ordered now; None: nothing is known of it."""
        with contextlib.suppress(RuntimeError):  # the loop has just ended
            self._loop.call_soon_threadsafe(self._obey, order, slots)

    def _obey(self, order: str | None, slots: int | None) -> None:
        if slots is not None and slots != self.slots:
            _log.info("ordered to take %d tasks at a time", slots)
            self.slots = slots
            self._resize(slots)
        if self.is_ended or order is None:
            return
        if order == "disconnect":
            _log.info("ordered to end: running tasks may finish")
            self.is_ended = True
            self._end()
        elif order == "drain" and not self.is_drained:
            _log.info("ordered to drain: running tasks may finish, no new ones are taken")
            was, self.is_drained = self.is_paused, True
            self._follow(was)
        elif order == "" and self.is_drained:
            _log.info("ordered to take tasks again")
            was, self.is_drained = self.is_paused, False
            self._follow(was)

    def _follow(self, was_paused: bool) -> None:
        if self.is_paused != was_paused:
            (self._pause if self.is_paused else self._go_on)()


def orders_for(runner: Runner, pulse: Pulse, slots: int, end: Callable[[], None]) -> Orders:
    """Orders that *runner* obeys and *pulse* tells of; *end* begins the drain that ends the worker."""
    orders: Orders

    def told() -> None:
        pulse.tell(paused=orders.is_paused, slots=orders.slots)

    def pause() -> None:
        runner.pause()
        told()

    def go_on() -> None:
        runner.go_on()
        told()

    def resize(count: int) -> None:
        runner.resize(count)
        told()

    orders = Orders(pause, go_on, resize, end, slots)
    runner.on_order, pulse.on_order = orders.command, orders.told
    return orders
