"""How jobs and leases stand, on Redis or Valkey."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from muster.core.ids import JobId, TaskId, UnixMs
from muster.core.status import TaskStatus
from muster.store import codec
from muster.store.flow import HOLDERS_SHOWN
from muster.store.standing import (
    FLOWS_IN_LINE,
    HELD_MAX,
    KINDS_IN_LINE,
    TASKS_LOOKED_AT,
    Held,
    ShutGate,
    Standing,
    StandingTask,
)

Run = Callable[..., Awaitable[Any]]
HELD_PER_CALL: Final = 200
CLASSES_MAX: Final = 1_000
_STATUS: Final = {b"G": TaskStatus.GATED, b"R": TaskStatus.READY, b"L": TaskStatus.LEASED, b"P": TaskStatus.PARKED}


class RedisStanding:
    """*run* is one script by name and tag; *tag_of* gives None for a foreign partition."""

    def __init__(self, run: Run, tag_of: Callable[[JobId], str | None], tags: Sequence[str]) -> None:
        self._run = run
        self._tag_of = tag_of
        self._tags = tags

    async def of(self, job: JobId) -> Standing | None:
        tag = self._tag_of(job)
        if tag is None:
            return None
        reply = await self._run("standing", tag, job, TASKS_LOOKED_AT, KINDS_IN_LINE, FLOWS_IN_LINE, HOLDERS_SHOWN)
        if not reply:
            return None
        header, task, now, turn_at, turn_held, need, timer, grace, live, tasks, signals, gates = reply
        return Standing(
            record=codec.load_record(job, header, task),
            now=UnixMs(int(now)),
            turn_at=_moment(turn_at),
            turn_held=turn_held == b"1",
            need=int(need),
            timer_at=_moment(timer),
            grace_until=_moment(grace),
            live_tasks=int(live),
            tasks=tuple(sorted((_task(fields) for fields in tasks), key=lambda task: task.number)),
            gates=tuple(sorted((_gate(*fields) for fields in gates), key=lambda gate: gate.name)),
            signals=_in_order(signals),
        )

    async def held(self, partition: int) -> tuple[Held, ...]:
        """Leases that are prolonged on the way come twice, so they are put together by task."""
        found: dict[str, Held] = {}
        score, offset = "-inf", 0
        while len(found) < HELD_MAX:
            page = await self._run("held", self._tags[partition], score, offset, HELD_PER_CALL)
            for task, kind, worker, _, cls in page:
                found[task.decode()] = Held(TaskId(task.decode()), kind.decode(), worker.decode(), cls.decode())
            if len(page) < HELD_PER_CALL:
                break
            last = page[-1][3].decode()
            alike = sum(entry[3] == page[-1][3] for entry in page)
            offset = offset + alike if last == score else alike
            score = last
        return tuple(found[task] for task in sorted(found))

    async def queued(self, partition: int) -> Mapping[str, int]:
        classes, _, _ = await self._run("sweep", self._tags[partition], CLASSES_MAX)
        counts: Counter[str] = Counter()
        for _, kind, count in classes:
            counts[kind.decode()] += int(count)
        return counts


def _task(fields: Sequence[Any]) -> StandingTask:
    (
        number, status, kind, attempt, worker, since, until, failures, losses, before, cls, prefers, back, requeues,
        fails, close, rules, shut,
    ) = fields  # fmt: skip
    return StandingTask(
        int(number), _STATUS[status], kind.decode(), int(attempt), worker.decode(), _moment(since), _moment(until),
        int(failures), int(losses), int(before) if before else None, cls.decode(), _moment(prefers), back.decode(),
        int(requeues), _moment(fails), _moment(close), rules, tuple(gate.decode() for gate in shut),
    )  # fmt: skip


def _gate(
    name: bytes, held: bytes, most: bytes, opens_at: bytes, counting: bytes, holders: Sequence[bytes]
) -> ShutGate:
    tasks = tuple(TaskId(task.decode()) for task in holders)
    return ShutGate(name.decode(), int(held), tasks, int(most) if most else None, _moment(opens_at), counting == b"1")


def _in_order(fields: Sequence[bytes]) -> tuple[str, ...]:
    kept = [field.decode().partition("|") for field in fields]
    return tuple(name for name, _, _ in sorted(kept, key=lambda field: int(field[2])))


def _moment(text: bytes) -> UnixMs | None:
    return UnixMs(int(float(text))) if text else None
