"""Where a task waits: the class of its needs, and before that the class of whom it prefers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from muster_worker.needs import SAME, Rule, worker_rule

from muster.core.decisions import Placement, TaskSpec
from muster.core.limits import CLASSES_MAX
from muster.core.matching import Requirement, meets
from muster.engine.classes import IDLE_MS, PREFERRED_IDLE_MS, Classes, ClassesFull
from muster.engine.decider import StateFailed
from muster.engine.fleet import Fleet
from muster.engine.worker_fields import DRAINING

_SAME_WORKER: Final = worker_rule(SAME)


@dataclass(frozen=True, slots=True)
class Place:
    """`requirement` is what the worker is told and what a retry says is still in use."""

    cls: str = ""
    fallback: tuple[str, int] | None = None
    requirement: Requirement | None = None


ANYWHERE: Final = Place()


class Placing:
    def __init__(self, classes: Classes, fleet: Fleet) -> None:
        self._classes = classes
        self._fleet = fleet

    async def places(self, specs: Sequence[TaskSpec], last_worker: str) -> list[Place]:
        """One for each task. Raises StateFailed where there are too many classes."""
        found: dict[tuple[str, Placement], Place] = {}
        for spec in specs:
            wish = spec.placement
            if wish is not None and (spec.type, wish) not in found:
                found[spec.type, wish] = await self._place(spec.type, wish, last_worker)
        return [ANYWHERE if s.placement is None else found[s.type, s.placement] for s in specs]

    async def _place(self, kind: str, wish: Placement, last_worker: str) -> Place:
        needs = Requirement(kind, wish.rules, wish.choice)
        try:
            cls = await self._classes.ensure(needs)
        except ClassesFull as error:
            text = (
                f"task {kind!r} asks for what no task asked for before, and there are {CLASSES_MAX} different needs "
                "already: ask for the same things, or wait until others are forgotten"
            )
            raise StateFailed(text, "", "too_many_needs") from error
        preferred = await self._preferred(needs, wish.prefer, last_worker)
        if preferred is None:
            return Place(cls, None, needs)
        return Place(preferred, (cls, wish.prefer_ms), needs)

    async def _preferred(self, needs: Requirement, wishes: tuple[Rule, ...], last_worker: str) -> str | None:
        """None: nobody to wait for, as a worker that is not there, drains, or does not meet the needs."""
        if _SAME_WORKER in wishes:
            others = tuple(rule for rule in wishes if rule != _SAME_WORKER)
            wishes = (*others, worker_rule(last_worker)) if last_worker else others
        if not wishes:
            return None
        wanted = needs.also(wishes)
        if wanted.worker is not None:
            view = await self._fleet.look_up(wanted.worker)
            if view is None or view.status == DRAINING or not meets(wanted, view.offer):
                return None
        try:
            return await self._classes.ensure(wanted, PREFERRED_IDLE_MS if wishes else IDLE_MS)
        except ClassesFull:
            return None  # a preference is no need
