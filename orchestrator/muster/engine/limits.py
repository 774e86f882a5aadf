"""Limits as users set them, kept by every partition, and the audit that compares their slots with leases."""

import asyncio
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Final

import orjson

from muster.core.flow import Limit, Scope, policy_of
from muster.core.ids import TaskId, UnixMs
from muster.core.limits import LIMITS_MAX
from muster.errors import ErrorCode, MusterError
from muster.observe.metrics import Metrics
from muster.store.base import Store, StoreFull, StoreUnavailable
from muster.store.flow import HOLDERS_SHOWN, Gate, KeptLimit, Part, gate_of, gates_of, policies_of

log = logging.getLogger("muster.limits")

AUDIT_EVERY_S: Final = 60.0
SPREAD_MAX: Final = 20
"""So often a limit that others keep changing is told again; the audit sees to it after that."""


class Source(StrEnum):
    """Who set what holds now. What was set by a call comes before a file."""

    CALL = "api"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class LimitView:
    """A limit and how it stands. `running` is None of a group of keys, each of which has slots of its own."""

    limit: Limit
    running: int | None = None
    holders: tuple[TaskId, ...] = ()
    """Some of the tasks that hold its slots, those that have them longest first."""
    source: Source | None = None
    """None of a mere pause."""
    opens_at: UnixMs | None = None
    """When the next task may start, where its rate lets none start now."""


class Limits:
    """What is set is kept as it was set, and each partition has its share of it (`core.flow.policy_of`)."""

    def __init__(self, store: Store, partitions: int, metrics: Metrics) -> None:
        self._store = store
        self._partitions = range(partitions)
        self._metrics = metrics

    async def all(self) -> tuple[LimitView, ...]:
        """By scope and name."""
        kept = await self._store.flow.limits()
        views = [view for name, limit in kept.items() if (view := _plain_view(name, limit)) is not None]
        return await self._viewed(sorted(views, key=_place))

    async def of_gates(self, gates: Sequence[str]) -> Mapping[str, Limit]:
        """The limit that each of *gates* has its policy from: a key's own, or else that of its group."""
        known = {gate_of(limit): limit for limit in _effective(await self._store.flow.limits())}
        found = {gate: [known[name] for name in policies_of(gate) if name in known] for gate in gates}
        return {gate: limits[0] for gate, limits in found.items() if limits}

    async def put(self, limit: Limit) -> LimitView:
        """Set *limit*, in place of what was set before. A pause stays until it is resumed.

        Raises:
            MusterError: TOO_MANY_LIMITS.
        """
        return await self._write(limit, {Part.SET: dump_limit(limit)})

    async def drop(self, limit: Limit) -> None:
        """Lift the limit that is called like *limit*, with its pause. What a file says holds again.

        Raises:
            MusterError: LIMIT_NOT_FOUND; LIMIT_OF_FILE where there is nothing to lift but what a file says.
        """
        kept = await self._store.flow.limit(name_of(limit))
        if not kept.set and not kept.paused:
            raise limit_of_file(limit) if kept.file else limit_not_found(limit)
        await self._write(limit, {Part.SET: "", Part.PAUSED: ""})

    async def pause(self, scope: Scope, name: str) -> LimitView:
        """Nothing more of it starts; what runs goes on. What is set meanwhile holds when it is resumed.

        Raises:
            MusterError: TOO_MANY_LIMITS.
        """
        return await self._write(Limit(scope, name), {Part.PAUSED: "1"})

    async def resume(self, scope: Scope, name: str) -> LimitView:
        """End a pause; what is set holds again. Nothing happens where there is none."""
        return await self._write(Limit(scope, name), {Part.PAUSED: ""})

    async def apply_file(self, limits: Sequence[Limit]) -> None:
        """Set what a file says, all of it: what it says no longer is taken away. What calls have set comes before it.

        Raises:
            MusterError: TOO_MANY_LIMITS; those before it are set by then.
        """
        kept = await self._store.flow.limits()
        told = {name_of(limit): dump_limit(limit) for limit in limits}
        gone = {name: "" for name, limit in kept.items() if limit.file and name not in told}
        changed = {name: text for name, text in (gone | told).items() if kept.get(name, KeptLimit()).file != text}
        for name, text in changed.items():
            await self._keep(name, {Part.FILE: text})
        if changed:
            await self.audit()

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
        kept = await self._store.flow.limits()
        wanted = {gate_of(limit): limit for limit in _effective(kept)}
        drift = 0
        for partition in self._partitions:
            await self._reconcile(partition, wanted)
            found = await self._store.flow.audit(partition)
            drift += found.drift
        now = await self._store.flow.limits()
        for name in sorted(name for name in kept.keys() | now.keys() if kept.get(name) != now.get(name)):
            await self._spread(name, now.get(name, KeptLimit()))  # somebody set it meanwhile
        if drift:
            self._metrics.slot_drift.inc(drift)
            log.error("slots_drifted", extra={"slots": drift})
        return drift

    async def _reconcile(self, partition: int, wanted: Mapping[str, Limit]) -> None:
        """A server may have died before it had told all partitions; another number of them has other shares.

        What runs already is counted by the audit that follows.
        """
        known = await self._store.flow.policies(partition)
        for gate in known.keys() - wanted.keys():
            await self._store.flow.set_policy(partition, gate, None)
        for gate, limit in wanted.items():
            policy = known.get(gate)
            if policy is None or replace(policy, counting=False) != policy_of(limit, len(self._partitions)):
                await self._tell(partition, gate, limit)

    async def _write(self, limit: Limit, parts: Mapping[Part, str]) -> LimitView:
        name = name_of(limit)
        kept = await self._spread(name, await self._keep(name, parts))
        (view,) = await self._viewed([_plain_view(name, kept) or LimitView(limit_called(name))])
        return view

    async def _keep(self, name: str, parts: Mapping[Part, str]) -> KeptLimit:
        kept = await self._store.flow.write_limit(name, parts, LIMITS_MAX)
        if kept is None:
            raise MusterError(
                ErrorCode.TOO_MANY_LIMITS,
                f"There are {LIMITS_MAX} limits already.",
                hint="Set one for a group of keys, such as 'site:*', instead of one for each.",
            )
        return kept

    async def _spread(self, name: str, kept: KeptLimit) -> KeptLimit:
        """Give each partition its share, again until nobody has changed the limit meanwhile.

        So whichever of several that set it at a time is the last to tell a partition tells it what all of them set.
        """
        for _ in range(SPREAD_MAX):
            view = _plain_view(name, kept)
            gate = gate_of(limit_called(name))
            for partition in self._partitions:
                await self._set(partition, gate, None if view is None else view.limit)
            now = await self._store.flow.limit(name)
            if now == kept:
                break
            kept = now
        return kept

    async def _set(self, partition: int, gate: str, limit: Limit | None) -> None:
        """Where slots were not counted so far, what runs already is counted before anything more may start."""
        if await self._tell(partition, gate, limit):
            await self._store.flow.audit(partition)

    async def _tell(self, partition: int, gate: str, limit: Limit | None) -> bool:
        policy = None if limit is None else policy_of(limit, len(self._partitions))
        counted = policy if policy is None or policy.most is None else replace(policy, counting=True)
        return await self._store.flow.set_policy(partition, gate, counted)

    async def _viewed(self, views: Sequence[LimitView]) -> tuple[LimitView, ...]:
        """How they stand: one call for each partition."""
        names = [gate for view in views for gate in gates_of(view.limit)]
        if not names:
            return tuple(views)
        found = await asyncio.gather(*(self._store.flow.gates(partition, names) for partition in self._partitions))
        of_gate = dict(zip(names, zip(*found, strict=True), strict=True))
        return tuple(_standing(view, of_gate) for view in views)


def _standing(view: LimitView, of_gate: Mapping[str, Sequence[Gate]]) -> LimitView:
    gates = [gate for name in gates_of(view.limit) for gate in of_gate[name]]
    if not gates:
        return view
    holders = tuple(task for gate in gates for task in gate.holders)[:HOLDERS_SHOWN]
    opens = [gate.opens_at for gate in gates if gate.opens_at is not None]
    opens_at = min(opens) if len(opens) == len(gates) else None
    return replace(view, running=sum(gate.held for gate in gates), holders=holders, opens_at=opens_at)


def _effective(kept: Mapping[str, KeptLimit]) -> Iterator[Limit]:
    for name, limit in kept.items():
        if (view := _plain_view(name, limit)) is not None:
            yield view.limit


def _plain_view(name: str, kept: KeptLimit) -> LimitView | None:
    """What holds of it, not yet how it stands; None where that is nothing."""
    text = kept.set or kept.file
    limit = replace(load_limit(text) if text else limit_called(name), paused=kept.paused)
    source = None if not text else Source.CALL if kept.set else Source.FILE
    return None if limit.is_empty else LimitView(limit, source=source)


def _place(view: LimitView) -> tuple[int, str, str]:
    return list(Scope).index(view.limit.scope), view.limit.tenant, view.limit.name


def name_of(limit: Limit) -> str:
    return f"{limit.scope}|{limit.tenant}|{limit.name}"


def limit_called(name: str) -> Limit:
    """One of that name which limits nothing."""
    scope, tenant, of = name.split("|", 2)
    return Limit(Scope(scope), of, tenant)


def dump_limit(limit: Limit) -> str:
    return orjson.dumps(asdict(limit)).decode()


def load_limit(text: str) -> Limit:
    fields = orjson.loads(text)
    return Limit(**{**fields, "scope": Scope(fields["scope"])})


def limit_of_file(limit: Limit) -> MusterError:
    return MusterError(
        ErrorCode.LIMIT_OF_FILE,
        f"The limit of {limit.scope} {limit.name!r} is set in a server's file.",
        hint="Take it out of MUSTER_LIMITS_FILE, or set another one by `muster limit set`, which comes before it.",
    )


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
