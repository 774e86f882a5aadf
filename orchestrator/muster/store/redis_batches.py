"""Batches on Redis or Valkey."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from muster.core.ids import JobId, UnixMs
from muster.core.status import JobStatus
from muster.store.arguments import job_args
from muster.store.batch_records import BatchLine, BatchToCancel, LineFate, NewBatch, StoredBatch
from muster.store.payloads import Arg

Run = Callable[..., Awaitable[Any]]
COUNT: Final = "s:"
"""Before a status, in the hash of a batch."""


class RedisBatches:
    """*call* is one command, *run* one script by name and tag."""

    def __init__(self, call: Run, run: Run, tags: Sequence[str]) -> None:
        self._call = call
        self._run = run
        self._tags = tags

    async def add(self, partition: int, batch: NewBatch, lines: Sequence[BatchLine]) -> tuple[LineFate, ...]:
        args: list[Arg] = [*_facts(batch), len(lines)]
        for line in lines:
            args += (line.line, line.print, *job_args(line.job))
        reply = await self._run("enlist", self._tags[partition], *args)
        return tuple(LineFate(fate.decode()) for fate in reply)

    async def close(self, partition: int, batch: NewBatch) -> StoredBatch:
        found = _batch(await self._run("enlist", self._tags[partition], *_facts(batch), -1))
        assert found is not None, "closing makes it where it is not there"
        return found

    async def read(self, partition: int, key: str) -> StoredBatch | None:
        return _batch(await self._call("HGETALL", f"{self._tags[partition]}ba:{key}"))

    async def page(self, partition: int, key: str, after: int, limit: int) -> tuple[tuple[int, JobId], ...]:
        where = f"{self._tags[partition]}bm:{key}"
        flat = await self._call(
            "ZRANGE", where, f"({after}", "+inf", "BYSCORE", "LIMIT", 0, limit, "WITHSCORES"
        )  # fmt: skip
        return tuple(
            (int(float(line)), JobId(member[:36].decode())) for member, line in zip(flat[::2], flat[1::2], strict=True)
        )

    async def cancel(self, partition: int, key: str) -> int | None:
        live = await self._run("cancel_batch", self._tags[partition], key, "", "")
        return int(live) if int(live) >= 0 else None

    async def cancelled_to(self, partition: int, key: str, after: int, line: int | None) -> None:
        await self._run("cancel_batch", self._tags[partition], key, after, "" if line is None else line)


def _facts(batch: NewBatch) -> list[Arg]:
    return [
        batch.key,
        batch.tenant,
        batch.id,
        batch.webhook,
        batch.retention_ms,
        batch.client,
        batch.live_max,
        batch.queued_max,
    ]


def _batch(flat: Sequence[bytes]) -> StoredBatch | None:
    if not flat:
        return None
    fields = {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}
    counts = {name.removeprefix(COUNT): int(count) for name, count in fields.items() if name.startswith(COUNT)}
    return StoredBatch(
        id=fields["id"],
        tenant=fields["ten"],
        created_at=UnixMs(int(fields["ct"])),
        is_closed=fields["s"] == "closed",
        is_cancelled=fields["cx"] == "1",
        total=int(fields["n"]),
        live=int(fields["live"]),
        cost_micros=int(fields.get("cm", 0)),
        ended_at=UnixMs(int(fields["end"])) if "end" in fields else None,
        counts={JobStatus(status): count for status, count in counts.items() if count},
    )


def to_cancel_of(some: Sequence[Any]) -> BatchToCancel:
    key, tenant, after, flat = some
    jobs = zip(flat[::2], flat[1::2], strict=True)
    return BatchToCancel(
        key.decode(),
        tenant.decode(),
        int(after),
        tuple((int(float(line)), JobId(job[:36].decode())) for job, line in jobs),
    )
