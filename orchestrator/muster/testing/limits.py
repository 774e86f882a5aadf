"""Limits and pauses, set by a test as an operator or a client would."""

from typing import TYPE_CHECKING, Any, Final

from muster_worker.durations import Duration

from muster.core.flow import Limit, Scope, limit_of

if TYPE_CHECKING:
    from muster.testing.machine import Machine

TENANT: Final = "test"


class LimitSetting:
    """A part of `TestMuster`. What may start then does, before the call returns."""

    if TYPE_CHECKING:

        @property
        def machine(self) -> "Machine": ...

    async def limit(
        self,
        scope: str,
        name: str = "*",
        *,
        max: int | None = None,  # noqa: A002 - the word of the API
        rate: int | None = None,
        per: Duration | None = None,
        burst: int | None = None,
        weight: float | None = None,
    ) -> None:
        """Set a limit, in place of the one before. Scopes are `global`, `tenant`, `task`, `blueprint` and `key`.

        Raises ValueError for one that cannot be.
        """
        given = {"max": max, "rate": rate, "per": per, "burst": burst, "weight": weight}
        limit = limit_of(scope, name, {word: value for word, value in given.items() if value is not None}, TENANT)
        await self._ask(lambda limits: limits.put(limit))

    async def lift(self, scope: str, name: str = "*") -> None:
        """Lift a limit, and its pause with it. Raises MusterError: there is none."""
        limit = limit_of(scope, name, {"max": 0}, TENANT)
        await self._ask(lambda limits: limits.drop(limit))

    async def pause_queue(self, task: str) -> None:
        """Hand out no more tasks of a type; those that run go on."""
        await self._ask(lambda limits: limits.pause(Scope.TASK, task))

    async def resume_queue(self, task: str) -> None:
        await self._ask(lambda limits: limits.resume(Scope.TASK, task))

    async def pause_blueprint(self, name: str) -> None:
        """Hand out no more tasks of a blueprint's jobs; those that run go on, and jobs may be started."""
        await self._ask(lambda limits: limits.pause(Scope.BLUEPRINT, name))

    async def resume_blueprint(self, name: str) -> None:
        await self._ask(lambda limits: limits.resume(Scope.BLUEPRINT, name))

    async def limits(self) -> tuple[Limit, ...]:
        """Those that are set, by scope and name."""
        views = await self.machine.ask(lambda engine: engine.limits.all())
        return tuple(view.limit for view in views)

    async def _ask(self, act: Any) -> None:
        await self.machine.ask(lambda engine: act(engine.limits))
        await self.machine.settle()
