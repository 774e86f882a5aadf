"""Flows and gates as the store knows them: what they are called, and limits. A part of the contract, see `base`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from muster.core.flow import Limit, Policy, Scope, group_of
from muster.core.ids import JobId, TaskId, UnixMs
from muster.store.keys import short_hash

HOLDERS_SHOWN: Final = 10
"""Tasks that are named of those that hold a gate's slots."""


class Fan(NamedTuple):
    """Tasks of one wave of which only some may run at once."""

    job: JobId
    wave: int
    at_once: int


def flow_of(tenant: str, blueprint: str, key: str = "", fan: Fan | None = None, type: str = "") -> str:  # noqa: A002
    """What a task's flow is besides its tenant's: so all tasks of a flow stand under the same gates.

    *type* is given where its class is not that of its type alone: it has to pass the gate of the type all the same.
    """
    parts = [f"/b{short_hash(blueprint)}"]
    if type:
        parts.append(f"/c{short_hash(type)}")
    if key:
        parts.append(f"/k{_of_tenant(tenant, key)}.{_of_tenant(tenant, group_of(key))}")
    if fan is not None:
        parts.append(f"/w{fan.job}.{fan.wave}.{fan.at_once}")
    return "".join(parts)


def gate_of(limit: Limit) -> str:
    """The gate, or the gates of a group of keys, that *limit* is the policy of."""
    match limit.scope:
        case Scope.GLOBAL:
            return "*"
        case Scope.TASK:
            return f"c:{short_hash(limit.name)}"
        case Scope.TENANT:
            return f"t:{short_hash(limit.name)}"
        case Scope.BLUEPRINT:
            return f"b:{short_hash(limit.name)}"
        case Scope.KEY:
            return f"k:{_of_tenant(limit.tenant, limit.name)}"


def gates_of(limit: Limit) -> tuple[str, ...]:
    """The gates whose slots *limit* counts; none where that is a whole group of keys."""
    if limit.scope is not Scope.KEY:
        return (gate_of(limit),)
    group = group_of(limit.name)
    return () if limit.name == group else (f"{gate_of(limit)}.{_of_tenant(limit.tenant, group)}",)


def policies_of(gate: str) -> tuple[str, ...]:
    """The gates whose policy is *gate*'s, the first that has one: its own, or of a key that of its group."""
    kind, _, rest = gate.partition(":")
    if kind != "k":
        return (gate,)
    key, _, group = rest.partition(".")
    return (f"k:{key}", f"k:{group}")


def _of_tenant(tenant: str, key: str) -> str:
    return short_hash(f"{tenant}\0{key}")


@dataclass(frozen=True, slots=True)
class Gate:
    """Who holds a gate's slots now."""

    held: int = 0
    holders: tuple[TaskId, ...] = ()
    """Those that have them longest."""
    opens_at: UnixMs | None = None
    """When the next one may pass, where the gate is shut by its rate now."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What a walk over all leases and slots of a partition found."""

    given: int = 0
    """Leased tasks that got the slot of a limit that is newer than their lease."""
    drift: int = 0
    """Slots that nobody held any more: a bug, unless the store lost writes in a failover."""


class Part(StrEnum):
    """What of a limit is set by itself, so that two who set different ones at a time do not undo each other's."""

    SET = "set"
    """As somebody set it by a call."""
    FILE = "file"
    """As a server's file says."""
    PAUSED = "paused"
    """Not empty while it is paused."""


@dataclass(frozen=True, slots=True)
class KeptLimit:
    """A limit as it is kept: texts, empty where nothing is set."""

    set: str = ""
    file: str = ""
    paused: bool = False

    @property
    def is_empty(self) -> bool:
        return not (self.set or self.file or self.paused)

    def having(self, part: Part, text: str) -> "KeptLimit":
        match part:
            case Part.SET:
                return replace(self, set=text)
            case Part.FILE:
                return replace(self, file=text)
            case Part.PAUSED:
                return replace(self, paused=bool(text))


class FlowRecords(Protocol):
    async def set_policy(self, partition: int, gate: str, policy: Policy | None) -> bool:
        """From now on the gate works so; None: as if there were no limit. Who may pass now is told.

        A `counting` one whose gate counts its slots already is not counting. Returns whether it is: until an audit
        nothing passes then.
        """
        ...

    async def policies(self, partition: int) -> Mapping[str, Policy]: ...

    async def audit(self, partition: int) -> Audit:
        """Compare slots with leases, make good what differs, and let those pass whose gates have room.

        In small calls; nobody else has to wait for it. Policies that were `counting` when it began no longer are.
        """
        ...

    async def gates(self, partition: int, names: Sequence[str]) -> Sequence[Gate]: ...

    async def write_limit(self, name: str, parts: Mapping[Part, str], most: int) -> KeptLimit | None:
        """Set some parts of a limit, or with empty texts take them away; what is empty then is forgotten.

        Returns it as it is then. None: it would be one more than *most*, and nothing was written.
        """
        ...

    async def limit(self, name: str) -> KeptLimit: ...

    async def limits(self) -> Mapping[str, KeptLimit]: ...


def dump_policy(policy: Policy) -> str:
    values = (policy.most, policy.between_us, policy.ahead_us, policy.cost)
    return "|".join(["" if value is None else str(value) for value in values] + ["1" if policy.counting else ""])


def load_policy(text: str) -> Policy:
    most, between, ahead, cost, counting = text.split("|")
    return Policy(_int(most), _int(between), _int(ahead), _int(cost), counting == "1")


def _int(text: str) -> int | None:
    return int(text) if text else None


def load_kept(text: str) -> KeptLimit:
    """`<1: paused>|<length of the first text>|<text set by a call><text of the file>`, as `note_limit` writes it."""
    if not text:
        return KeptLimit()
    paused, length, texts = [*text.split("|", 2), "", ""][:3]
    if not length.isdigit():  # as older servers kept it: one text
        return KeptLimit(text, paused='"paused":true' in text)
    data = texts.encode()
    return KeptLimit(data[: int(length)].decode(), data[int(length) :].decode(), paused == "1")
