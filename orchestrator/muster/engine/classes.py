"""Classes of work as this replica knows them: which there are beside those of plain task types, and who may do what.

A class is a requirement: a type, rules, and who of several is chosen. It is defined in the store before its first task
is made. All replicas are told; what one missed it finds when the sweep shows ready tasks of a class it does not know.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final

import orjson

from muster.core.limits import CLASSES_MAX
from muster.core.matching import Choice, Offer, Requirement, meets, requirement_json, requirement_of
from muster.store.base import Store, StoreFull, StoreUnavailable
from muster.store.fleet import Defined
from muster.store.keys import short_hash

log = logging.getLogger("muster.classes")

SAY_USED_S: Final = 600.0
"""How often a class in use is said to be, at most."""
IDLE_MS: Final = 30 * 86_400_000
"""Longer than any task may wait, run or back off."""
PREFERRED_IDLE_MS: Final = 2 * 3_600_000
"""Tasks leave a class of those they only prefer after an hour at the latest."""
RETIRE_EVERY_S: Final = 600.0

Spawn = Callable[[Coroutine[Any, Any, None]], object]


def class_of(requirement: Requirement) -> str:
    """Its id. That of a plain one is the hash of its type, as it always was."""
    if requirement.is_plain:
        return short_hash(requirement.type)
    return short_hash("\0" + orjson.dumps(requirement_json(requirement)).decode())


class ClassesFull(Exception):
    """There are as many classes as may be."""


class Classes:
    def __init__(self, store: Store, spawn: Spawn) -> None:
        self._store = store
        self._spawn = spawn
        self._known: dict[str, Requirement] = {}
        self._by_type: dict[str, dict[str, Requirement]] = {}
        self._by_worker: dict[str, dict[str, Requirement]] = {}
        """Those that only one worker may do."""
        self._said: dict[str, float] = {}
        self.chosen: dict[str, Choice] = {}
        """Those whose workers are chosen."""
        self.on_new: Callable[[str, Requirement], None] = lambda _cls, _requirement: None
        self.on_gone: Callable[[], None] = lambda: None

    def __contains__(self, cls: str) -> bool:
        return cls in self._known

    def requirement(self, cls: str) -> Requirement | None:
        return self._known.get(cls)

    def plain(self, cls: str) -> str:
        """The class of the tasks of the same type that ask no more than that."""
        requirement = self._known.get(cls)
        return cls if requirement is None else short_hash(requirement.type)

    @property
    def known(self) -> Mapping[str, Requirement]:
        return self._known

    def of(self, offer: Offer, worker: str) -> tuple[str, ...]:
        """All that a worker may do."""
        found = [short_hash(kind) for kind in offer.types]
        if self._known:
            for kind in offer.types:
                found += [cls for cls, needs in self._by_type.get(kind, {}).items() if meets(needs, offer)]
            found += [cls for cls, needs in self._by_worker.get(worker, {}).items() if meets(needs, offer)]
            if offer.does_all:
                found += [cls for cls, needs in self._known.items() if needs.worker and meets(needs, offer)]
        return tuple(sorted(set(found)))

    async def ensure(self, requirement: Requirement, idle_ms: int = IDLE_MS) -> str:
        """The class of *requirement*, defined. Raises ClassesFull."""
        cls = class_of(requirement)
        now = asyncio.get_running_loop().time()
        if requirement.is_plain or self._said.get(cls, float("-inf")) > now - SAY_USED_S:
            return cls
        text = orjson.dumps(requirement_json(requirement)).decode()
        if await self._store.fleet.define(cls, text, idle_ms, CLASSES_MAX) is Defined.FULL:
            raise ClassesFull
        self._said[cls] = now
        self._add(cls, requirement)
        return cls

    async def still_used(self, rules: bytes) -> None:
        """Of a task that is put back: say that its class, if it has one, is in use."""
        raw = orjson.loads(rules).get("q")
        if raw is not None:
            with contextlib.suppress(ClassesFull):
                await self.ensure(requirement_of(raw))

    def _add(self, cls: str, requirement: Requirement) -> None:
        if cls in self._known:
            return
        self._known[cls] = requirement
        worker = requirement.worker
        index = self._by_type if worker is None else self._by_worker
        index.setdefault(requirement.type if worker is None else worker, {})[cls] = requirement
        if requirement.choice is not None:
            self.chosen[cls] = requirement.choice
        self.on_new(cls, requirement)

    async def learn(self, cls: str) -> None:
        """Another replica defined it."""
        if cls not in self._known:
            try:
                text = await self._store.fleet.requirement(cls)
            except StoreUnavailable as error:
                log.warning("class_not_read", extra={"error": str(error)})
                return
            if text is not None:
                self._add(cls, requirement_of(orjson.loads(text)))

    async def reload(self) -> None:
        """Take over what the store knows; messages may have been lost."""
        try:
            stored = await self._store.fleet.requirements()
        except StoreUnavailable as error:
            log.warning("classes_not_read", extra={"error": str(error)})
            return
        self._forget(self._known.keys() - stored.keys())
        for cls, text in stored.items():
            if cls not in self._known:
                self._add(cls, requirement_of(orjson.loads(text)))

    def forget_all(self) -> None:
        """After a flush."""
        self._said.clear()
        self._forget(list(self._known))

    def _forget(self, gone: Iterable[str]) -> None:
        gone = [cls for cls in gone if cls in self._known]
        for cls in gone:
            requirement = self._known.pop(cls)
            worker = requirement.worker
            index = self._by_type if worker is None else self._by_worker
            place = requirement.type if worker is None else worker
            index[place].pop(cls, None)
            if not index[place]:
                del index[place]
            self.chosen.pop(cls, None)
            self._said.pop(cls, None)
        if gone:
            self.on_gone()

    def saw_ready(self, types: Mapping[str, str]) -> None:
        """The sweep's classes with their types: one that is neither plain nor known was missed."""
        for cls, kind in types.items():
            if cls not in self._known and cls != short_hash(kind):
                self._spawn(self.learn(cls))

    async def run(self) -> None:
        """Learn what is there, and forget what nobody uses."""
        await self.reload()
        while True:
            await asyncio.sleep(RETIRE_EVERY_S)
            try:
                await self.retire_idle()
            except (StoreUnavailable, StoreFull) as error:
                log.warning("retire_failed", extra={"error": str(error)})

    async def retire_idle(self) -> None:
        for cls in await self._store.fleet.idle():
            await self._store.fleet.retire(cls)
        await self.reload()
