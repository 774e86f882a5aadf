"""The store on Redis or Valkey: each method is one script call. Replies become values here and nowhere else."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from muster.core.ids import JobId, TaskId, UnixMs, partition_of, split_task_id
from muster.core.limits import (
    FIRST_TURNS_IN_A_ROW,
    JOBS_PASSED_OVER_MAX,
    LEASES_PER_CALL_MAX,
    LEASES_PER_TICK_MAX,
    SEATS_PER_CALL_MAX,
    TIMERS_PER_TICK_MAX,
    TURN_LEASE_MS,
    TURNS_PER_TICK_MAX,
)
from muster.core.record import JobRecord
from muster.store import codec
from muster.store.admission import Limited, PutOff, Taken
from muster.store.arguments import admission_args, claim_args, commit_args, completion_args, job_args, task_args
from muster.store.base import (
    Claim,
    Claimed,
    Commit,
    Committed,
    Completed,
    Completion,
    Existing,
    LeaseRef,
    LiveTask,
    Mode,
    NewJob,
    NewTask,
    QueueState,
    RawEvent,
    Refusal,
    Refused,
    Stepped,
    StoreFull,
    StoreUnavailable,
    Tick,
    Turn,
)
from muster.store.keys import EVERYBODY, global_tag, partition_tags, short_hash, wake_channel
from muster.store.link import CONNECT_TIMEOUT_S, Address, Link, LinkDown, ServerError, Traffic
from muster.store.payloads import CARRIERS, Arg, Offload, PayloadGone, Payloads, Value, holds_reference, plain
from muster.store.redis_approvals import RedisApprovals
from muster.store.redis_batches import RedisBatches
from muster.store.redis_blueprints import RedisBlueprintRecords
from muster.store.redis_children import RedisChildren
from muster.store.redis_connections import RedisConnectionRecords
from muster.store.redis_figures import RedisFigures
from muster.store.redis_files import RedisFileRecords
from muster.store.redis_fleet import RedisFleet
from muster.store.redis_flow import RedisFlow
from muster.store.redis_index import IndexCalls
from muster.store.redis_journal import JournalCalls
from muster.store.redis_operations import RedisOperations
from muster.store.redis_standing import RedisStanding
from muster.store.replies import (
    LIVE_TASK,
    claimed_of,
    committed_of,
    completed_of,
    live_task_of,
    not_made_of,
    stepped_of,
    turn_of,
    unreadable_of,
)
from muster.store.scripts import names, script
from muster.store.tick_reply import tick_of
from muster.store.topology import locator

log = logging.getLogger("muster.store")

RETRY_FOR_S: Final = 2.5
"""A call is sent again for so long while the server is away; then the caller is told."""
BACKOFF_MAX_S: Final = 1.0
PASSING_ERRORS: Final = frozenset(
    {"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MISCONF", "NOREPLICAS"}
)
"""The server will take the command later; nothing was written."""
DEMOTED: Final = frozenset({"READONLY", "MASTERDOWN"})
TICK_HOLD_MS: Final = 5_000
"""An ended lease or a due message that its ticker did not settle comes again after this time."""
SWEEP_CLASSES: Final = 1_000
FLEET_PAGE: Final = 200
CANCEL_NOTE_MS: Final = 3_600_000
"""A worker that was told nothing for so long holds none of the tasks any more."""

GIVE_BACK_S: Final = 1.0

OnMessage = Callable[[int, str], None]
"""Partition and text of a message to this replica."""


class RedisStore(JournalCalls, IndexCalls):
    """Connect with `await open()`. One link for commands, one for messages; both reconnect by themselves."""

    def __init__(
        self,
        url: str,
        *,
        namespace: str,
        partitions: int = 1,
        replica: str = "",
        on_message: OnMessage | None = None,
        on_reconnect: Callable[[], None] | None = None,
    ) -> None:
        self._locate = locator(url)
        self._address: Address | None = None
        self._replica = replica
        self._tags = partition_tags(namespace, partitions)
        self._global = global_tag(namespace)
        self._partition_of_channel = {wake_channel(tag, replica).encode(): p for p, tag in enumerate(self._tags)}
        self._partition_of_channel[wake_channel(self._tags[0], EVERYBODY).encode()] = 0
        self._partition_of_channel[wake_channel(self._global, EVERYBODY).encode()] = 0
        self._on_message = on_message
        self._on_reconnect = on_reconnect
        self._link: Link | None = None
        self._subscriber: Link | None = None
        self._up = asyncio.Event()
        self._offload: Offload | None = None
        self._giving_back: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self.traffic = Traffic()
        self.files = RedisFileRecords(self._call, self._run, self._tag_of, self._global, self._filled)
        self.figures = RedisFigures(self._call, self._run, self._tag_or_none)
        self.standing = RedisStanding(self._run, self._tag_or_none, self._tags)
        self.flow = RedisFlow(self._call, self._run, self._tags, self._global)
        self.fleet = RedisFleet(self._call, self._run, self._global, self._tags)
        self.children = RedisChildren(self._call, self._run, self._tag_or_none)
        self.operations = RedisOperations(self, self._run, self._filled_fields, self._tag_or_none)
        self.approvals = RedisApprovals(self._call, self._run, self._tag_or_none, self._tags, self._newest, self.read)
        self.batches = RedisBatches(self._call, self._run, self._tags)
        self.connections = RedisConnectionRecords(self._call, self._run, self._global)
        self.blueprints = RedisBlueprintRecords(self._call, self._run, self._tags, self._global)

    @property
    def partitions(self) -> int:
        return len(self._tags)

    async def open(self) -> None:
        """Connect and load the scripts.

        Raises:
            StoreUnavailable: nobody answers at the address.
        """
        try:
            await self._connect()
            if self._replica:
                await self._subscribe()
        except LinkDown as error:
            raise StoreUnavailable(str(error)) from error
        self._tasks.append(asyncio.create_task(self._keep(self._connect, lambda: self._link), name="store-link"))
        if self._replica:
            self._tasks.append(
                asyncio.create_task(self._keep(self._subscribe, lambda: self._subscriber), name="store-messages")
            )

    async def close(self) -> None:
        ending = [*self._tasks, *self._giving_back]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        for link in (self._link, self._subscriber):
            if link is not None:
                link.close()
        self._up.clear()

    async def _connect(self) -> None:
        self._address = await self._locate()
        link = await Link.open(self._address, f"muster-{self._replica or 'client'}", self.traffic)
        try:
            for name in names():
                await link.call("SCRIPT", "LOAD", script(name).source)
        except ServerError as error:
            link.close()
            raise LinkDown(str(error)) from error
        self._link = link
        self._up.set()
        link.lost.add_done_callback(lambda _: self._up.clear() if self._link is link else None)

    async def _subscribe(self) -> None:
        missing = set(self._partition_of_channel)
        ready = asyncio.get_running_loop().create_future()

        def push(reply: list[Any]) -> None:
            match reply:
                case [b"smessage", channel, payload] if self._on_message is not None:
                    self._on_message(self._partition_of_channel[channel], payload.decode())
                case [b"sunsubscribe", *_]:
                    subscriber.close()
                case [b"ssubscribe", channel, _]:
                    missing.discard(channel)
                    if not missing and not ready.done():
                        ready.set_result(None)
                case _:
                    pass  # the answer to a ping

        subscriber = await Link.open(await self._locate(), f"muster-{self._replica}-messages")
        subscriber.listen(push)
        for channel in self._partition_of_channel:
            subscriber.send("SSUBSCRIBE", channel)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await ready
        except TimeoutError as error:
            subscriber.close()
            raise LinkDown("the server does not confirm SSUBSCRIBE") from error
        subscriber.keep_alive()
        self._subscriber = subscriber

    async def _keep(self, connect: Callable[[], Any], current: Callable[[], Link | None]) -> None:
        """Reconnect whenever the link is lost, with full jitter between tries."""
        while True:
            link = current()
            if link is not None:
                await asyncio.shield(link.lost)
            failures = 0
            while True:
                try:
                    await connect()
                    break
                except LinkDown as error:
                    failures += 1
                    log.warning("store_reconnect_failed", extra={"error": str(error), "failures": failures})
                    await asyncio.sleep(random.uniform(0, min(BACKOFF_MAX_S, 0.05 * 2**failures)))
            if self._on_reconnect is not None:
                self._on_reconnect()

    async def _call(self, *command: bytes | str | int | float) -> Any:
        """One round trip, sent again while the server is away: scripts and the plain commands used are idempotent."""
        deadline = time.monotonic() + RETRY_FOR_S
        while True:
            try:
                return await self._current().call(*command)
            except LinkDown as error:
                await self._wait_until_up(deadline, error)
            except ServerError as error:
                await self._answer_error(error, deadline)

    def _current(self) -> Link:
        if self._link is None or self._link.lost.done():
            raise LinkDown("not connected")
        return self._link

    async def _wait_until_up(self, deadline: float, error: LinkDown) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise StoreUnavailable(f"{self._address}: {error}") from error
        try:
            async with asyncio.timeout(left):
                await self._up.wait()
                await asyncio.sleep(0)
        except TimeoutError:
            raise StoreUnavailable(f"{self._address}: {error}") from error

    async def _answer_error(self, error: ServerError, deadline: float) -> None:
        if error.kind == "OOM":
            raise StoreFull(str(error)) from error
        if error.kind == "NOSCRIPT":
            for name in names():
                await self._call("SCRIPT", "LOAD", script(name).source)
            return
        if error.kind not in PASSING_ERRORS:
            raise error
        if error.kind in DEMOTED and self._link is not None:
            self._link.close()  # this server takes no writes any more: look for the one that does
        if time.monotonic() >= deadline:
            raise StoreUnavailable(f"{self._address}: {error}") from error
        await asyncio.sleep(0.05)

    def keep_large_values(self, payloads: Payloads, bytes_max: int) -> None:
        """From now on values above *bytes_max* are kept among *payloads*. Those kept before are found in any case."""
        self._offload = Offload(payloads, bytes_max)

    def _run(self, name: str, tag: str, *args: Arg) -> Any:
        if name not in CARRIERS:
            return self._call("EVALSHA", script(name).sha, 1, tag, *cast("tuple[bytes | str | int | float, ...]", args))
        if self._offload is None:
            return self._call("EVALSHA", script(name).sha, 1, tag, *plain(args))
        return self._run_offloaded(self._offload, name, tag, args)

    async def _filled(self, reply: Any) -> Any:
        return reply if self._offload is None else await self._offload.back(reply)

    async def _filled_fields(self, key: str) -> list[Any]:
        return list(await self._filled(await self._call("HGETALL", key)))

    async def _run_offloaded(self, offload: Offload, name: str, tag: str, args: Sequence[Arg]) -> Any:
        reply = await self._call("EVALSHA", script(name).sha, 1, tag, *await offload.out(args))
        return await offload.back(reply) if holds_reference(reply) else reply

    def _tag_of(self, job: JobId) -> str:
        partition = partition_of(job)
        if partition >= len(self._tags):
            raise UnknownPartition(partition)
        return self._tags[partition]

    def _tag_or_none(self, job: JobId) -> str | None:
        """None: a partition that is not there, so no such job can exist."""
        partition = partition_of(job)
        return self._tags[partition] if partition < len(self._tags) else None

    # Jobs

    async def submit(
        self, job: NewJob, token: str, first: Commit | None = None
    ) -> Turn | Existing | Committed | Limited | Taken | PutOff:
        idem = short_hash(f"{job.tenant}\0{job.idempotency_key}") if job.idempotency_key else ""
        reply = await self._run(
            "submit", self._tag_of(job.id),
            *job_args(job), idem, job.idempotency_ttl_ms, job.fingerprint, token, TURN_LEASE_MS, job.watcher,
            *admission_args(job.admission), *([0] if first is None else [1, *commit_args(first, self._replica)[1:]]),
        )  # fmt: skip
        if reply[0] == b"exists":
            return Existing(JobId(reply[1].decode()), reply[2].decode())
        if (other := not_made_of(reply)) is not None:
            return other
        if first is not None:
            self._give_back(first.claim, reply[1])
            committed = committed_of(first, reply)
            assert isinstance(committed, Committed), "nobody else can hold the first turn of a job just made"
            return committed
        return Turn(token, job.record(UnixMs(int(time.time() * 1000))), ())

    async def commit(self, commit: Commit) -> Committed | Refused:
        name = "finish" if commit.status.is_final else "commit"
        reply = await self._run(name, self._tag_of(commit.job), *commit_args(commit, self._replica))
        if reply[0] in {b"ok", b"again"}:
            self._give_back(commit.claim, reply[1])
        return committed_of(commit, reply)

    async def spawn(self, job: JobId, version: int, token: str, wave: int, tasks: Sequence[NewTask]) -> bool:
        args: list[Arg] = [job, version, token, TURN_LEASE_MS, wave, *task_args(job, tasks)]
        return bool((await self._run("spawn", self._tag_of(job), *args))[0] == b"ok")

    async def defer(self, job: JobId, token: str, delay_ms: int, *, failed: bool, details: str = "") -> int | None:
        reply = await self._run("defer", self._tag_of(job), job, token, delay_ms, int(failed), details)
        return int(reply[1]) if reply[0] == b"ok" else None

    async def signal(self, job: JobId, wave: int, item: str, history: str, token: str) -> Turn | Refused:
        args = (job, wave, Value(job, item), history, token, TURN_LEASE_MS)
        reply = await self._run("signal", self._tag_of(job), *args)
        if reply[0] == b"turn":
            return _readable(turn_of(job, token, reply[1], reply[2]))
        return Refused(Refusal(reply[0].decode()))

    async def send(
        self, job: JobId, name: str, item: str, history: str, token: str, signals_max: int
    ) -> Turn | Refused | None:
        args = (job, short_hash(name), Value(job, item), history, signals_max, token, TURN_LEASE_MS)
        try:
            reply = await self._run("send", self._tag_of(job), *args)
        except UnknownPartition:
            return Refused(Refusal.GONE)
        if reply[0] == b"turn":
            return _readable(turn_of(job, token, reply[1], reply[2]))
        return None if reply[0] == b"kept" else Refused(Refusal(reply[0].decode()))

    async def cancel(
        self,
        job: JobId,
        token: str,
        grace_ms: int,
        history: str,
        below: str = "",
        *,
        queued: bool = False,
        overdue: bool = False,
    ) -> Turn | Refused | tuple[tuple[TaskId, str], ...]:
        args = (job, token, TURN_LEASE_MS, grace_ms, history, below, int(queued), int(overdue))
        reply = await self._run("cancel", self._tag_of(job), *args)
        if reply[0] == b"turn":
            turn = turn_of(JobId(reply[1].decode()), token, reply[2], reply[3])
            return () if turn is None else turn
        if reply[0] == b"asked":
            flat = [text.decode() for text in reply[1:]]
            return tuple((TaskId(task), worker) for task, worker in zip(flat[::2], flat[1::2], strict=True))
        return Refused(Refusal(reply[0].decode()))

    async def read(self, job: JobId, watcher: str = "", *, changes: bool = False) -> JobRecord | None:
        try:
            reply = await self._run("watch", self._tag_of(job), job, watcher, "ac" if changes else "aw")
        except UnknownPartition:
            return None
        return codec.load_record(job, reply[0], reply[1]) if reply else None

    async def watch_tenant(self, tenant: str, watcher: str, ttl_ms: int) -> bool:
        replies = await asyncio.gather(
            *(self._run("watch_tenant", tag, short_hash(tenant), watcher, ttl_ms) for tag in self._tags)
        )
        return all(reply[0] == b"known" for reply in replies)

    async def history(self, job: JobId) -> tuple[RawEvent, ...]:
        entries = await self._call("LRANGE", f"{self._tag_of(job)}h:{job}", 0, -1)
        return tuple(_raw_event(entry.decode()) for entry in entries)

    # Tasks

    async def claim(self, partition: int, claim: Claim) -> tuple[Claimed, ...]:
        assert len(claim.seats) <= SEATS_PER_CALL_MAX, len(claim.seats)
        reply = await self._run("claim", self._tags[partition], *claim_args(claim))
        self._give_back(claim, reply)
        return claimed_of(reply)

    async def complete(self, completion: Completion) -> Completed | Refused:
        try:
            reply = await self._run("complete", self._tag_of(completion.job), *completion_args(completion))
        except UnknownPartition:
            return Refused(Refusal.GONE, -1)
        if reply[0] == b"noted":
            self._give_back(completion.claim, reply[1])
        return completed_of(completion, reply)

    async def step(self, completion: Completion, decided: Commit) -> Stepped | Completed | Refused:
        assert completion.mode is Mode.DELIVER, "only an end that the job answers makes a turn due"
        assert completion.claim is None, "the seats are those of the commit"
        assert completion.token == decided.token, f"{completion.token} is not {decided.token}"
        args = [*completion_args(completion), *commit_args(decided, self._replica)[1:]]
        try:
            reply = await self._run("step", self._tag_of(completion.job), *args)
        except UnknownPartition:
            return Refused(Refusal.GONE, -1)
        if reply[0] == b"step":
            self._give_back(decided.claim, reply[3][1])
            return stepped_of(decided, reply)
        if reply[0] == b"noted":
            self._give_back(decided.claim, reply[1])
        return completed_of(completion, reply)

    def _give_back(self, claim: Claim | None, claimed: Sequence[Any]) -> None:
        """Tasks whose bodies cannot be read now go back to their queue, after a pause and without a loss."""
        for lease in unreadable_of(claim, claimed):
            giving = asyncio.create_task(self._release_later(*lease), name="give-back")
            self._giving_back.add(giving)
            giving.add_done_callback(self._giving_back.discard)

    async def _release_later(self, task: TaskId, attempt: int, fence: str) -> None:
        await asyncio.sleep(GIVE_BACK_S)
        with contextlib.suppress(StoreUnavailable, StoreFull):
            await self.release(task, attempt, fence)

    async def live_task(self, job: JobId, number: int) -> LiveTask | None:
        try:
            key = f"{self._tag_of(job)}t:{job}.{number}"
        except UnknownPartition:
            return None
        fields, (seconds, micros) = await asyncio.gather(self._call("HMGET", key, *LIVE_TASK), self._call("TIME"))
        return live_task_of(fields, int(seconds) * 1000 + int(micros) // 1000)

    async def extend(self, partition: int, worker: str, lease_ms: int, leases: Sequence[LeaseRef]) -> tuple[str, ...]:
        assert len(leases) <= LEASES_PER_CALL_MAX, len(leases)
        args: list[str | int | float] = [worker, lease_ms, len(leases)]
        for lease in leases:
            args += [
                lease.task,
                "" if lease.attempt is None else lease.attempt,
                lease.fence or "",
                "" if lease.progress is None else lease.progress,
                lease.message,
                "" if lease.silent_ms is None else lease.silent_ms,
            ]
        return tuple(word.decode() for word in await self._run("extend", self._tags[partition], *args))

    async def release(self, task: TaskId, attempt: int, fence: str) -> bool:
        parts = split_task_id(task)
        assert parts is not None, task
        return bool((await self._run("release", self._tag_of(parts[0]), task, attempt, fence))[0] == b"ok")

    async def tick(self, partition: int, token_prefix: str, first_turns: int = 0) -> Tick:
        reply = await self._run(
            "tick", self._tags[partition],
            LEASES_PER_TICK_MAX, TIMERS_PER_TICK_MAX, TURNS_PER_TICK_MAX, token_prefix, TURN_LEASE_MS, TICK_HOLD_MS,
            first_turns, FIRST_TURNS_IN_A_ROW, JOBS_PASSED_OVER_MAX,
        )  # fmt: skip
        return tick_of(reply)

    async def settle(self, partition: int, message: str, tries: int, retry_in_ms: int | None) -> None:
        await self._run("settle", self._tags[partition], message, tries, "" if retry_in_ms is None else retry_in_ms)

    async def queue(self, partition: int) -> QueueState:
        classes, leased, counts = await self._run("sweep", self._tags[partition], SWEEP_CLASSES)
        return QueueState(
            ready={cls.decode(): int(count) for cls, _, count in classes},
            types={cls.decode(): kind.decode() for cls, kind, _ in classes},
            leased=int(leased),
            jobs={status: int(count) for status, count in codec.text_fields(counts).items()},
        )

    # Workers

    async def register(self, worker: str, ttl_ms: int, fields: Mapping[str, str]) -> None:
        await self._run("register", self._global, worker, ttl_ms, len(fields), *codec.text_map(fields))

    async def beat(
        self, worker: str, ttl_ms: int, fields: Mapping[str, str]
    ) -> tuple[dict[str, str], tuple[str, ...]] | None:
        reply = await self._run("beat", self._global, worker, ttl_ms, len(fields), *codec.text_map(fields))
        if not reply:
            return None
        return codec.text_fields(reply[0]), tuple(sorted(task.decode() for task in reply[1]))

    async def touch(self, ttl_ms: int, workers: Sequence[str]) -> tuple[str, ...]:
        return tuple(worker.decode() for worker in await self._run("touch", self._global, ttl_ms, *workers))

    async def worker(self, worker: str) -> dict[str, str] | None:
        return codec.text_fields(await self._call("HGETALL", f"{self._global}w:{worker}")) or None

    async def workers(self) -> tuple[dict[str, str], ...]:
        found: list[dict[str, str]] = []
        while True:
            page = await self._run("fleet", self._global, len(found), FLEET_PAGE)
            found += [codec.text_fields(fields) for fields in page]
            if len(page) < FLEET_PAGE:
                return tuple(fields for fields in found if fields)

    async def ask_cancel(self, worker: str, tasks: Sequence[str]) -> None:
        if tasks:
            await self._run("note_cancel", self._global, worker, CANCEL_NOTE_MS, *tasks)

    async def cancels(self, worker: str) -> tuple[str, ...]:
        return tuple(sorted(t.decode() for t in await self._call("SMEMBERS", f"{self._global}wc:{worker}")))

    async def forget_cancel(self, worker: str, task: str) -> None:
        await self._call("SREM", f"{self._global}wc:{worker}", task)

    # The rest

    async def publish(self, replica: str, message: str) -> bool:
        return bool(await self._call("SPUBLISH", wake_channel(self._tags[0], replica), message))

    async def secret(self, fresh: str) -> str:
        key = f"{self._global}meta"
        await self._call("HSETNX", key, "secret", fresh)
        return str((await self._call("HGET", key, "secret")).decode())

    async def ping(self) -> bool:
        link = self._link
        if link is None or link.lost.done():
            return False
        try:
            async with asyncio.timeout(1.0):
                return bool(await link.call("PING") == b"PONG")
        except (LinkDown, ServerError, TimeoutError):
            return False

    async def flush(self) -> None:
        for tag in (*self._tags, self._global):
            cursor = b"0"
            while True:
                cursor, keys = await self._call("SCAN", cursor, "MATCH", f"{tag}*", "COUNT", 1000)
                if keys:
                    await self._call("UNLINK", *keys)
                if cursor == b"0":
                    break


class UnknownPartition(LookupError):
    """An id of a partition this deployment does not have: no such job can exist here."""


def _readable(turn: Turn | None) -> Turn:
    """Raises: PayloadGone. What came was taken; the turn comes again when its lease runs out."""
    if turn is None:
        raise PayloadGone("a large value of the job cannot be read now: do all servers share MUSTER_FILES_DIR?")
    return turn


def _raw_event(entry: str) -> RawEvent:
    stamp, _, blob = entry.partition("|")
    at, _, duration = stamp.partition(":")
    return RawEvent(UnixMs(int(at)), int(duration) if duration else None, blob)
