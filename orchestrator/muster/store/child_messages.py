"""What goes from one partition to another about a spread child: its start, its end, a cancel, a pause.

They lie in the outbox of the partition that sends them, like webhooks. The scripts write all but `start` themselves
(scripts/_children.lua, _pause.lua), as JSON with these members.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from muster.core.ids import JobId
from muster.core.record import Context
from muster.store import codec
from muster.store.base import NewJob

_BEGINNING: Final = b'{"k":"'
"""Of these, and of no webhook's envelope."""


@dataclass(frozen=True, slots=True)
class StartChild:
    job: NewJob


@dataclass(frozen=True, slots=True)
class EndOfChild:
    """`item` belongs into the mailbox of the parent's *wave*."""

    child: JobId
    parent: JobId
    wave: int
    item: str


@dataclass(frozen=True, slots=True)
class CancelChild:
    child: JobId
    parent: JobId
    wave: int


@dataclass(frozen=True, slots=True)
class HoldChild:
    """The pause of the job *above*, passed down, with who holds it and why; None: it was resumed.

    Of two of one child the one with the greater *count* is newer.
    """

    child: JobId
    count: int
    above: JobId
    words: tuple[str, str] | None


ChildMessage: TypeAlias = StartChild | EndOfChild | CancelChild | HoldChild


def dump_start(job: NewJob) -> bytes:
    """A job to make, as far as a child has what a job can have."""
    fields = {
        "id": job.id, "t": job.tenant, "b": job.blueprint, "v": job.blueprint_version, "s": job.state, "h": job.history,
        "p": codec.dump_parent(job.parent), "e": job.deadline_ms,
        "w": orjson.Fragment(codec.dump_submission(job.submission)),
    }  # fmt: skip
    return codec.dump({"k": "start", "j": fields})


def read_child_message(body: bytes) -> ChildMessage | None:
    """None: it is a webhook."""
    if not body.startswith(_BEGINNING):
        return None
    raw = orjson.loads(body)
    if raw["k"] == "start":
        return StartChild(_job(raw["j"]))
    if raw["k"] == "hold":
        words = None if raw["w"] is None else (raw["w"][0], raw["w"][1])
        return HoldChild(JobId(raw["c"]), raw["n"], JobId(raw["a"]), words)
    parent, wave = raw["p"].split("|")
    if raw["k"] == "end":
        item = orjson.dumps(raw["i"]).decode()
        return EndOfChild(JobId(raw["c"]), JobId(parent), int(wave), item)
    return CancelChild(JobId(raw["c"]), JobId(parent), int(wave))


def _job(raw: dict[str, Any]) -> NewJob:
    return NewJob(
        id=JobId(raw["id"]),
        tenant=raw["t"],
        blueprint=raw["b"],
        blueprint_version=raw["v"],
        state=raw["s"],
        submission=codec.load_submission(orjson.dumps(raw["w"])),
        context=Context(),
        history=raw["h"],
        parent=codec.load_parent(raw["p"].encode()),
        deadline_ms=raw["e"],
    )
