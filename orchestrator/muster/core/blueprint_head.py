"""What a deployment knows of a blueprint's name beside its code: versions that are data, and where new jobs begin.

One frozen value per name, and pure functions from one to the next. It is stored whole; versions are texts such as
`3:0f3a9c2e`, a number and the start of a hash.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from muster.core.ids import UnixMs


@dataclass(frozen=True, slots=True)
class SavedVersion:
    """`idle_since`: since when it is known to have no live job; None for the one that new jobs begin with."""

    at: UnixMs
    by: str
    idle_since: UnixMs | None = None


@dataclass(frozen=True, slots=True)
class Rollout:
    """*share* of a hundred new jobs begin with *version*, the others with *base*."""

    version: str
    share: int
    base: str

    def takes(self, job: str) -> bool:
        """The same answer for a job on every replica. 64 bits of blake2b: the bias is far below a job in a billion."""
        digest = hashlib.blake2b(f"{self.version}|{job}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) % 100 < self.share


@dataclass(frozen=True, slots=True)
class BlueprintHead:
    """All that is known of one name.

    Attributes:
        number: the highest that was given to a version which is data.
        current: what new jobs begin with. Empty: for code the newest that is loaded; for data it is out of service.
        versions: those that are data.
    """

    number: int = 0
    current: str = ""
    versions: Mapping[str, SavedVersion] = field(default_factory=dict[str, SavedVersion])
    rollout: Rollout | None = None

    @property
    def is_empty(self) -> bool:
        return not self.versions and not self.current and self.rollout is None

    def version_for(self, job: str) -> str:
        """What a new job begins with; empty where the head does not say."""
        if self.rollout is None:
            return self.current
        return self.rollout.version if self.rollout.takes(job) else self.rollout.base


def with_version(head: BlueprintHead, version: str, number: int, at: UnixMs, by: str, share: int) -> BlueprintHead:
    """*version* is new: all new jobs begin with it, or a *share* of them."""
    versions = {**head.versions, version: SavedVersion(at, by)}
    grown = replace(head, number=number, versions=versions)
    if share >= 100 or not head.current:
        return begun_with(grown, version)
    return replace(grown, rollout=Rollout(version, share, head.current))


def begun_with(head: BlueprintHead, version: str) -> BlueprintHead:
    """All new jobs begin with *version*, one of data or of code; empty: with none, or with the newest code."""
    return replace(head, current=version, rollout=None)


def rolled_out(head: BlueprintHead, rollout: Rollout) -> BlueprintHead:
    current = rollout.base if head.current == rollout.version else head.current
    return replace(head, current=current, rollout=rollout)


def looked_at(head: BlueprintHead, live: Mapping[str, int], now: UnixMs, keep_ms: int) -> BlueprintHead:
    """Versions that jobs no longer begin with go once no job was live for *keep_ms*: ended ones may be looked at."""
    kept: dict[str, SavedVersion] = {}
    used = {head.current} | ({head.rollout.version, head.rollout.base} if head.rollout else set())
    for name, saved in head.versions.items():
        if name in used or live.get(name, 1):
            kept[name] = replace(saved, idle_since=None)
        elif saved.idle_since is None:
            kept[name] = replace(saved, idle_since=now)
        elif now - saved.idle_since < keep_ms:
            kept[name] = saved
    return replace(head, versions=kept)


def dump_head(head: BlueprintHead) -> dict[str, Any]:
    rollout = head.rollout
    return {
        "n": head.number,
        "c": head.current,
        "v": {name: [saved.at, saved.by, saved.idle_since] for name, saved in head.versions.items()},
        "r": None if rollout is None else [rollout.version, rollout.share, rollout.base],
    }


def load_head(raw: Mapping[str, Any]) -> BlueprintHead:
    versions = {name: SavedVersion(UnixMs(at), by, idle) for name, (at, by, idle) in raw["v"].items()}
    return BlueprintHead(raw["n"], raw["c"], versions, None if raw["r"] is None else Rollout(*raw["r"]))
