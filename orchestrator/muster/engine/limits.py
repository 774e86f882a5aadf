"""Limits as users set them, kept by every partition, and the audit that compares their slots with leases."""

import asyncio
import logging
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final

import orjson

from muster.core.flow import Limit, Scope, policy_of
from muster.core.ids import TaskId
from muster.core.limits import LIMITS_MAX
from muster.errors import ErrorCode, MusterError
from muster.observe.metrics import Metrics
from muster.store.base import Store, StoreFull, StoreUnavailable
from muster.store.flow import HOLDERS_SHOWN, gate_of, gates_of

log = logging.getLogger("muster.limits")

AUDIT_EVERY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class LimitView:
    """A limit and how it stands. `running` is None of a group of keys, each of which has slots of its own."""

    limit: Limit
    running: int | None = None
    holders: tuple[TaskId, ...] = ()
    """Some of the tasks that hold its slots, those that have them longest first."""


class Limits:
    """What is set is kept as it was set, and each partition has its share of it (`core.flow.policy_of`)."""

    def __init__(self, store: Store, partitions: int, metrics: Metrics) -> None:
        self._store = store
        self._partitions = range(partitions)
        self._metrics = metrics

    async def all(self) -> tuple[LimitView, ...]:
        """By scope and name."""
        known = await self.known()
        return tuple(await asyncio.gather(*(self._viewed(limit) for limit in known)))

    async def known(self) -> tuple[Limit, ...]:
        texts = await self._store.flow.limits()
        limits = [load_limit(text) for text in texts.values()]
        return tuple(sorted(limits, key=lambda limit: (list(Scope).index(limit.scope), limit.tenant, limit.name)))

    async def put(self, limit: Limit) -> LimitView:
        """Set *limit*, in place of what was set before. A pause stays until it is resumed.

        Raises:
            MusterError: TOO_MANY_LIMITS.
        """
        before = await self._find(limit)
        limit = replace(limit, paused=before is not None and before.paused)
        await self._write(limit)
        return await self._viewed(limit)

    async def drop(self, limit: Limit) -> None:
        """Lift the limit that is called like *limit*, with its pause.

        Raises:
            MusterError: LIMIT_NOT_FOUND.
        """
        if await self._find(limit) is None:
            raise limit_not_found(limit)
        await self._forget(limit)

    async def pause(self, scope: Scope, name: str) -> LimitView:
        """Nothing more of it starts; what runs goes on."""
        limit = replace(await self._find(Limit(scope, name)) or Limit(scope, name), paused=True)
        await self._write(limit)
        return await self._viewed(limit)

    async def resume(self, scope: Scope, name: str) -> LimitView:
        """End a pause; what was set before holds again. Nothing happens where there is none."""
        limit = replace(await self._find(Limit(scope, name)) or Limit(scope, name), paused=False)
        if limit.is_empty:
            await self._forget(limit)
        else:
            await self._write(limit)
        return await self._viewed(limit)

    async def run(self) -> None:
        """Audit now and then, until cancelled."""
        while True:
            await asyncio.sleep(AUDIT_EVERY_S * random.uniform(0.8, 1.2))
            try:
                await self.audit()
            except (StoreUnavailable, StoreFull) as error:
                log.warning("audit_put_off", extra={"error": str(error)})

    async def audit(self) -> int:
        """See that every partition keeps what is set, and compare slots with leases. Returns the drift."""
        wanted = {gate_of(limit): limit for limit in await self.known()}
        drift = 0
        for partition in self._partitions:
            await self._reconcile(partition, wanted)
            found = await self._store.flow.audit(partition)
            drift += found.drift
        if drift:
            self._metrics.slot_drift.inc(drift)
            log.error("slots_drifted", extra={"slots": drift})
        return drift

    async def _reconcile(self, partition: int, wanted: Mapping[str, Limit]) -> None:
        """A server may have died before it had told all partitions; another number of them has other shares."""
        kept = await self._store.flow.policies(partition)
        for gate in kept.keys() - wanted.keys():
            await self._store.flow.set_policy(partition, gate, None)
        for gate, limit in wanted.items():
            policy = policy_of(limit, len(self._partitions))
            known = kept.get(gate)
            if known is None or replace(known, counting=False) != policy:
                await self._set(partition, gate, limit)

    async def _write(self, limit: Limit) -> None:
        text = orjson.dumps(asdict(limit)).decode()
        if not await self._store.flow.write_limit(name_of(limit), text, LIMITS_MAX):
            raise MusterError(
                ErrorCode.TOO_MANY_LIMITS,
                f"There are {LIMITS_MAX} limits already.",
                hint="Set one for a group of keys, such as 'site:*', instead of one for each.",
            )
        for partition in self._partitions:
            await self._set(partition, gate_of(limit), limit)

    async def _set(self, partition: int, gate: str, limit: Limit) -> None:
        """Where slots were not counted so far, what runs already is counted before anything more may start."""
        policy = policy_of(limit, len(self._partitions))
        known = (await self._store.flow.policies(partition)).get(gate)
        is_new = policy.most is not None and (known is None or known.most is None or known.counting)
        await self._store.flow.set_policy(partition, gate, replace(policy, counting=is_new))
        if is_new:
            await self._store.flow.audit(partition)

    async def _forget(self, limit: Limit) -> None:
        await self._store.flow.write_limit(name_of(limit), None, LIMITS_MAX)
        for partition in self._partitions:
            await self._store.flow.set_policy(partition, gate_of(limit), None)

    async def _find(self, limit: Limit) -> Limit | None:
        text = (await self._store.flow.limits()).get(name_of(limit))
        return None if text is None else load_limit(text)

    async def _viewed(self, limit: Limit) -> LimitView:
        names = gates_of(limit)
        if not names:
            return LimitView(limit)
        found = [(await self._store.flow.gates(partition, names))[0] for partition in self._partitions]
        holders = tuple(task for gate in found for task in gate.holders)[:HOLDERS_SHOWN]
        return LimitView(limit, sum(gate.held for gate in found), holders)


def name_of(limit: Limit) -> str:
    return f"{limit.scope}|{limit.tenant}|{limit.name}"


def load_limit(text: str) -> Limit:
    fields = orjson.loads(text)
    return Limit(**{**fields, "scope": Scope(fields["scope"])})


def limit_not_found(limit: Limit) -> MusterError:
    return MusterError(
        ErrorCode.LIMIT_NOT_FOUND,
        f"No limit is set for {limit.scope} {limit.name!r}.",
        hint="`muster limit ls` shows those that are.",
    )


def applies_to(limit: Limit, tenant: str) -> bool:
    """Whether *tenant* may know of it: what is its own, and what is everybody's."""
    match limit.scope:
        case Scope.KEY:
            return limit.tenant == tenant
        case Scope.TENANT:
            return limit.name == tenant
        case _:
            return True
