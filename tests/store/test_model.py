"""The same random operations on the model and on a real server: same replies, same contents, no broken invariant.

Calls are sent twice at random, replies are lost, owners die and their leases are taken over. `MUSTER_LONG=1` runs
many more.
"""

import asyncio
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from muster.core import approvals as core
from muster.core.approvals import Answer
from muster.core.flow import Policy
from muster.core.ids import JobId, UnixMs, new_job_id
from muster.core.record import Context, JobRecord, Parent, Submission
from muster.core.status import FINAL, JobStatus
from muster.store.approvals import QuestionChange
from muster.store.base import (
    Claim,
    Claimed,
    Commit,
    Committed,
    Completed,
    Existing,
    LeaseRef,
    Message,
    Mode,
    NewJob,
    NewTask,
    Refused,
    Seat,
    Stepped,
    Store,
    Tick,
    Turn,
)
from muster.store.blueprint_records import Migration
from muster.store.child_messages import CancelChild, EndOfChild, HoldChild, StartChild, read_child_message
from muster.store.entered import dump_entered
from muster.store.flow import Fan, flow_of
from muster.store.journal import Entry, Known, Line, Meta, NotedLine, Progress, Step, TaskEvents
from muster.store.keys import short_hash
from muster.store.memory.children import is_awaited
from muster.store.operations import Retry

from tests.support.comparing import normal
from tests.support.deployment import Deployment, Replica
from tests.support.dump import Dump
from tests.support.samples import HOUR_MS, commit_of, decision, end_of, item_of, job_of, new_job, number_of, seat
from tests.support.servers import Server, ServerKind, Servers
from tests.support.waiting import until

LONG = os.environ.get("MUSTER_LONG") == "1"
TYPES = ("work", "other")
TAG = "red"
_FAN = Fan(new_job_id(UnixMs(1), 0, 1), 1, 1)
FLOWS = (
    "", *(flow_of("a", "orders", key) for key in ("", "x:1", "x:2", "y")), flow_of("a", "orders", fan=_FAN),
    flow_of("a", "orders", type="work"),
)  # fmt: skip
GATES = (
    "*", f"c:{short_hash('work')}", f"t:{short_hash('a')}", f"t:{short_hash('b')}", f"b:{short_hash('orders')}",
    *(f"k:{short_hash(f'a{chr(0)}{name}')}" for name in ("x:*", "x:1", "*", "y")),
)  # fmt: skip
POLICIES = st.sampled_from(
    [
        None, None, None, Policy(most=0), Policy(most=1), Policy(most=1), Policy(most=2), Policy(most=1, counting=True),
        Policy(between_us=HOUR_MS * 1000, ahead_us=0), Policy(between_us=HOUR_MS * 1000, ahead_us=HOUR_MS * 3000),
        Policy(most=2, between_us=1, ahead_us=HOUR_MS * 1000, cost=64), Policy(cost=512),
    ]
)  # fmt: skip
JOBS_MAX = 4
LIMITS: dict[int, tuple[int | None, int | None, int | None]] = defaultdict(
    lambda: (None, None, None),
    {
        0: (HOUR_MS, None, None),
        1: (0, HOUR_MS // 2, None),
        2: (None, 0, HOUR_MS),
        3: (None, 2 * HOUR_MS, 0),
        4: (HOUR_MS, HOUR_MS // 2, None),
    },
)
"""Schedule to start, schedule to close and heartbeat; by chance, and often none."""
MINE = short_hash("prefers somebody")
PREFERRED: dict[int, tuple[str, tuple[str, int] | None]] = defaultdict(
    lambda: ("", None), {6: (MINE, (short_hash("work"), 0)), 7: (MINE, (short_hash("work"), HOUR_MS))}
)
"""Class and fallback of tasks, by chance."""
DELAYS = st.sampled_from([0, HOUR_MS])
WORKERS = ("w1", "w2")
KNOWN = (Known(), Known(3, 2), Known(3, 2, 0, 0))
FIRST_MS = UnixMs(1_700_000_000_000)


@dataclass
class Held:
    """A turn somebody once got. The tokens differ where a tick made them."""

    record: JobRecord
    tokens: tuple[str, str]
    spawned: int = 0


@dataclass(frozen=True)
class Handed:
    """A task somebody once got."""

    claimed: Claimed
    worker: str
    fence: str


def is_awaited_message(partition: Any, message: str) -> bool:
    """Of a child, and still to be delivered."""
    outgoing = partition.outbox.get(message)
    if outgoing is None or read_child_message(outgoing.body) is None:
        return False
    return is_awaited(partition, outgoing, JobId(message[:36]))


class StoreMachine(RuleBasedStateMachine):
    server: ClassVar[Server]
    succeeded: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.serial = 0
        self.jobs: list[JobId] = []
        self.turns: list[Held] = []
        self.handed: list[Handed] = []
        self.seats: dict[str, Seat] = {}
        self.messages: list[tuple[str, int]] = []
        self.arrived: set[str] = set()
        self.final: set[JobId] = set()
        self.versions: dict[JobId, tuple[int, int]] = {}
        self.known: dict[JobId, Any] = {}
        self.comparisons = 0

    # Machinery

    @initialize()
    def connect(self) -> None:
        self.deployments = (Deployment(None), Deployment(self.server))
        self.sides: list[Replica] = [self.runner.run(deployment.replica("r1")) for deployment in self.deployments]
        for pick in (0, 1):  # something to work on, so that the steps are not spent on getting there
            self.submit_decided("tasks", 2 + pick, pick, seats=1 + pick, twice=False)

    def teardown(self) -> None:
        for deployment in getattr(self, "deployments", ()):
            self.runner.run(deployment.close())
        self.runner.close()

    def fresh(self, prefix: str) -> str:
        self.serial += 1
        return f"{prefix}{self.serial}"

    def both(self, operation: str, call: Callable[[Store, int], Awaitable[Any]], twice: bool = False) -> list[Any]:
        """Call on both sides, once more where *twice*, and compare. Returns the last replies.

        The first reply is lost then; what a claim in it handed out comes back when its lease ends.
        """
        replies: list[Any] = []
        for _ in range(1 + twice):
            replies = [self.runner.run(_awaited(call(side.store, i))) for i, side in enumerate(self.sides)]
            assert normal(replies[1]) == normal(replies[0]), f"{operation} on the server and on the model"
            self.remember(replies)
            if not isinstance(replies[0], Refused) and replies[0] not in (None, False, ()):
                self.succeeded[operation] += 1
            elif isinstance(replies[0], Refused):
                self.succeeded[f"{operation} refused: {replies[0].why}"] += 1
        self.compare()
        return replies

    def remember(self, replies: list[Any]) -> None:
        """Turns and tasks that were handed out, wherever in the reply they are."""
        model, real = replies
        match model:
            case Turn():
                held = Held(model.record, (model.token, real.token))
                if all(held.tokens != known.tokens for known in self.turns):
                    self.turns.append(held)
            case Completed(turn=Turn()) | Committed(turn=Turn()):
                self.remember([model.turn, real.turn])
            case Stepped():
                self.remember([model.committed, real.committed])
            case Tick():
                others = {turn.record.id: turn for turn in real.turns}
                for turn in sorted(model.turns, key=lambda turn: turn.record.id):
                    self.remember([turn, others[turn.record.id]])
                self.messages += sorted((message.id, message.tries) for message in model.messages)
        claimed = model if isinstance(model, tuple) else getattr(model, "claimed", ())
        self.handed += [
            Handed(task, self.last_seats[task.seat].worker, self.last_seats[task.seat].fence)
            for task in claimed
            if isinstance(task, Claimed)
        ]

    def compare(self) -> None:
        """Both sides hold the same, told the same, and break no rule."""
        real = self.deployments[1]
        dump = real.dump()
        found = real.violations(dump)
        assert not found, "\n".join(found)
        mark = self.fresh("mark")
        ours, theirs = [self.runner.run(self.contents(side, mark)) for side in self.sides]
        assert normal(theirs) == normal(ours)
        self.compare_jobs(dump)
        self.check_wakes()

    def compare_jobs(self, dump: Dump) -> None:
        """A job is read from the server again when its keys there, or what the model has of it, are others than when it
        was read last; and now and then all the same, since nothing says that no other key speaks of it.
        """
        self.comparisons += 1
        if self.comparisons % 12 == 0:
            self.known.clear()
        model, server = self.sides
        ours = self.runner.run(self.of_jobs(model, self.jobs))
        keys = [{key: entry.value for key, entry in dump.entries.items() if job in key} for job in self.jobs]
        facts = {job: (mine, held) for job, mine, held in zip(self.jobs, map(normal, ours), keys, strict=True)}
        stale = [job for job in self.jobs if self.known.get(job) != facts[job]]
        for job, read in zip(stale, self.runner.run(self.of_jobs(server, stale)), strict=True):
            assert normal(read) == facts[job][0], f"{job} on the server and on the model"
            self.check_progress(job, read[0])
        self.known = facts

    def check_progress(self, job: JobId, record: JobRecord | None) -> None:
        """I6: versions grow by one, and what a watcher sees changes with the revision."""
        if record is None:
            return
        if record.status.is_final:
            self.final.add(job)
        version, revision = self.versions.get(job, (0, 0))
        assert version <= record.version <= version + 1
        assert record.revision >= revision
        assert record.version == version or record.revision > revision
        self.versions[job] = (record.version, record.revision)

    async def contents(self, side: Replica, mark: str) -> Any:
        """All that can be read but of single jobs, in one round trip; and everything sent so far has arrived."""
        store = side.store
        found: list[Any] = await asyncio.gather(
            store.queue(0),
            asyncio.gather(self.found(store), self.gates(store), store.flow.policies(0)),
            *(store.jobs(tenant, None, 50) for tenant in "ab"),
            *(self.asking(store, tenant) for tenant in "ab"),
            store.publish("r1", mark),
        )
        queue, lists, *listed = found
        await until(lambda: mark in side.texts)
        counts = {status: count for status, count in queue.jobs.items() if count}
        ids = [*(sorted(record.id for record in page.items) for page in listed[:2]), *listed[2:4]]
        return queue.ready, queue.leased, counts, ids, lists

    async def of_jobs(self, side: Replica, jobs: list[JobId]) -> list[Any]:
        """All that can be read of each of *jobs*, its record first."""
        store = side.store
        calls: list[list[Awaitable[Any]]] = [
            [
                store.read(job),
                store.history(job),
                store.read_steps(job),
                store.operations.entered(job),
                *(store.live_task(job, number) for number in range(8)),
                *(store.read_log(job, start) for start in (1, 4)),
                *(store.read_live(job, known) for known in KNOWN),
                self.shut(store, job),
            ]
            for job in jobs
        ]
        found: list[list[Any]] = (
            [[await call for call in of_one] for of_one in calls]
            if side is self.sides[0]  # which never waits
            else await asyncio.gather(*(asyncio.gather(*of_one) for of_one in calls))
        )
        return [(record, [event.blob for event in history], *rest) for record, history, *rest in found]

    async def shut(self, store: Store, job: JobId) -> Any:
        """Which gates are shut for which of its ready tasks, as why tells it."""
        found = await store.standing.of(job)
        if found is None:
            return None
        gates = [(gate.name, gate.most, gate.counting, gate.opens_at is None) for gate in found.gates]
        return [(task.number, task.shut) for task in found.tasks], gates

    async def asking(self, store: Store, tenant: str) -> list[JobId]:
        return sorted(record.id for record in (await store.approvals.asking(tenant, None, 50))[0])

    async def gates(self, store: Store) -> Any:
        """Slots taken in one millisecond may be in either order."""
        return [(gate.held, sorted(gate.holders)) for gate in await store.flow.gates(0, GATES)]

    async def found(self, store: Store) -> Any:
        """By tag and by status; jobs of one millisecond may be in either order."""
        page = await store.tagged("a", TAG, None, 50)
        searches = await asyncio.gather(
            *(store.glances("a", tag=tag, statuses=some, most=500) for tag in (None, TAG) for some in (None, FINAL))
        )
        glances = [sorted((glance.job, glance.status) for glance in search) for search in searches]
        days = [datetime.now(UTC).date() - timedelta(days=back) for back in (-1, 0, 1)]
        versions = ("1", "1:v", "2:v", "3:v")
        live = [await store.blueprints.live("orders", version) for version in versions]
        counted = Counter({cost.meter: cost.jobs for cost in await store.day_costs("a", days)})
        return (
            sorted(record.id for record in page.items),
            glances,
            counted,
            live,
            len(await store.durations("a", "orders")),
        )

    def check_wakes(self) -> None:
        model, real = [sorted(text for text in side.texts if text.startswith("c|")) for side in self.sides]
        assert real == model, "wake-ups of the server and of the model"
        for side in self.sides:
            side.messages.clear()

    # What goes in

    def some_turn(self, pick: int) -> Held:
        """Recent ones more often: they may still be good."""
        recent = self.turns[-4:]
        return recent[pick % len(recent)] if pick % 5 else self.turns[pick % len(self.turns)]

    def some_task(self, pick: int) -> Handed:
        recent = self.handed[-6:]
        return recent[pick % len(recent)] if pick % 5 else self.handed[pick % len(self.handed)]

    def a_claim(self, seats: int, lease_ms: int = HOUR_MS, *, swap: bool = False, register: bool = False) -> Claim:
        self.last_seats = tuple(
            seat(
                WORKERS[i % 2],
                fence=self.fresh("f"),
                lease_ms=lease_ms,
                patient=swap,
                price=i % 2,
                prices=((short_hash(TYPES[0]), 1 - i % 2),) if swap else (),
            )
            for i in range(seats)
        )
        classes = tuple(short_hash(kind) for kind in (reversed(TYPES) if swap else TYPES))
        classes = (MINE, *classes) if seats % 2 else classes
        return Claim("r1", classes, self.last_seats, register=register, history=swap)

    def some_tasks(self, first: int, count: int, pick: int) -> tuple[NewTask, ...]:
        return tuple(
            NewTask(
                first + i,
                TYPES[(pick + i) % 7 == 0],
                b"body",
                b"rules",
                HOUR_MS,
                (pick + i) % 3 - 1,
                *LIMITS[pick % 9],
                *PREFERRED[pick % 8],
                FLOWS[pick % 7],
            )
            for i in range(count)
        )

    def a_commit(self, held: Held, kind: str, count: int, pick: int, claim: Claim | None, delay_ms: int) -> Commit:
        record = held.record
        first = max(record.next_task, record.spawned_to) + held.spawned
        kind = "tasks" if held.spawned else kind
        fields: dict[str, Any] = {
            "next_token": self.fresh("next"),
            "claim": claim,
            "history": (self.fresh("decided"),),
            "entered": {"ab"[pick % 2]: dump_entered(record.version, pick, self.fresh("argument"), None)},
            "clear_cancel": record.cancel_requested,
            "next_task": first,
            "messages": (Message(self.fresh("m"), b"hello"),) if pick % 4 == 0 else (),
            "drops": self.leftovers(held),
        }
        tasks: tuple[NewTask, ...] = ()
        fields["parting"] = '{"k":"child","s":"finished","d":null,"c":"","m":""}'
        match kind:
            case "tasks":
                tasks = self.some_tasks(first, count, pick)
                wanted = held.spawned + count
                left = (None, 0, 1)[pick % 3]
                fields |= {"need": wanted, "failures_left": left, "next_task": first + count}
                if wanted == 1:
                    fields |= {"current_task": first, "status": JobStatus.WAITING_FOR_WORKER}
                elif pick % 5 == 0:
                    fields |= {"need": 1, "needs_successes": left is not None}
            case "human":
                fields |= {"status": JobStatus.WAITING_FOR_HUMAN, "need": 1, "deadline_ms": delay_ms}
                fields |= {"asks": True, "escalate_ms": (None, 0, HOUR_MS)[pick % 3]}
            case "sleep":
                fields |= {"status": JobStatus.WAITING, "need": 1, "deadline_ms": delay_ms}
            case "child":
                fields |= {"status": JobStatus.WAITING, "need": 1, "children": (self.a_child(record),)}
            case "children":
                some = tuple(self.a_child(record, spread=(pick + i) % 2 == 0) for i in range(count))
                fields |= {"status": JobStatus.WAITING, "need": 1, "children": some, "deadline_ms": delay_ms}
            case "signal":
                fields |= {"status": JobStatus.WAITING, "need": 1, "signal": "xy"[pick % 2], "deadline_ms": delay_ms}
            case "go":
                fields |= {"status": JobStatus.RUNNING, "need": 0}
            case _ if pick % 3 == 1:
                fields |= {"status": JobStatus.FAILED, "error": "it did"}
            case _:
                fields |= {"result": {"n": pick}}
        turn = Turn("", record, ())
        return commit_of(turn, tasks, **fields)

    def a_child(self, record: JobRecord, *, spread: bool = False) -> NewJob:
        self.serial += 1
        depth = 0 if record.parent is None else record.parent.depth
        parent = Parent(record.id, max(record.wave, record.spawn_wave) + 1, depth + 1, spread=spread)
        return new_job(id=new_job_id(FIRST_MS, 0, self.serial), tenant=record.tenant, parent=parent)

    def know_child(self, commit: Commit) -> None:
        made = [child.id for child in commit.children if child.id in self.partition.jobs]
        self.jobs += made
        self.succeeded["child"] += len(made)

    def leftovers(self, held: Held) -> tuple[tuple[int, int], ...]:
        """All numbers of past waits: dropping what has ended already does nothing."""
        record = held.record
        return ((0, max(record.next_task, record.spawned_to)),) if max(record.next_task, record.spawned_to) else ()

    # Jobs

    @precondition(lambda self: len(self.jobs) - len(self.final) < JOBS_MAX)
    @rule(tenant=st.sampled_from("ab"), key=st.sampled_from(["", "k1", "k1", "k2"]), twice=st.booleans())
    def submit(self, tenant: str, key: str, twice: bool) -> None:
        self.serial += 1
        new = new_job(
            id=new_job_id(FIRST_MS, 0, self.serial),
            tenant=tenant,
            idempotency_key=key,
            fingerprint=f"f{key}",
            submission=Submission({}, tags=(TAG, key) if key else ()),
            deadline_ms={"k1": HOUR_MS, "k2": 0}.get(key),
        )
        token = self.fresh("turn")
        self.jobs.append(new.id)
        reply = self.both("submit", lambda store, _: store.submit(new, token), twice)[0]
        if isinstance(reply, Existing):
            self.jobs.pop()
            self.succeeded["existing"] += 1

    @precondition(lambda self: len(self.jobs) - len(self.final) < JOBS_MAX)
    @rule(
        kind=st.sampled_from(["tasks", "tasks", "human", "signal", "child", "children", "final"]),
        count=st.integers(1, 3),
        pick=st.integers(0, 99),
        seats=st.integers(0, 2),
        twice=st.booleans(),
    )
    def submit_with_its_first_turn(self, kind: str, count: int, pick: int, seats: int, twice: bool) -> None:
        self.submit_decided(kind, count, pick, seats, twice)

    def submit_decided(self, kind: str, count: int, pick: int, seats: int, twice: bool) -> None:
        self.serial += 1
        submission = Submission({}, tags=(TAG,) * (pick % 4 < 2))
        new = new_job(id=new_job_id(FIRST_MS, 0, self.serial), tenant="ab"[pick % 2], submission=submission)
        if pick % 5 == 0:
            new = replace(new, deadline_ms=HOUR_MS * (pick % 2))
        record = replace(_pending(new.id), tenant=new.tenant)
        token = self.fresh("turn")
        claim = self.a_claim(seats) if seats else None
        first = replace(self.a_commit(Held(record, ("", "")), kind, count, pick, claim, HOUR_MS), token=token)
        self.jobs.append(new.id)
        self.both("submit with first", lambda store, _: store.submit(new, token, first), twice)
        self.know_child(first)

    @precondition(lambda self: self.turns)
    @rule(
        which=st.integers(0, 99),
        kind=st.sampled_from(
            ["tasks", "tasks", "tasks", "human", "sleep", "signal", "child", "child", "children", "go", "final"]
        ),
        count=st.integers(1, 4),
        pick=st.integers(0, 99),
        seats=st.integers(0, 3),
        delay_ms=DELAYS,
        twice=st.booleans(),
    )
    def commit(self, which: int, kind: str, count: int, pick: int, seats: int, delay_ms: int, twice: bool) -> None:
        held = self.some_turn(which)
        claim = self.a_claim(seats, swap=pick % 3 == 0, register=pick % 4 == 0) if seats else None
        commit = self.a_commit(held, kind, count, pick, claim, delay_ms)
        known = len(self.partition.jobs)
        self.both("commit", lambda store, i: store.commit(replace(commit, token=held.tokens[i])), twice)
        if len(self.partition.jobs) > known:
            self.know_child(commit)

    @precondition(lambda self: self.turns)
    @rule(which=st.integers(0, 99), count=st.integers(1, 3), pick=st.integers(0, 99), twice=st.booleans())
    def spawn(self, which: int, count: int, pick: int, twice: bool) -> None:
        held = self.some_turn(which)
        record = held.record
        first = max(record.next_task, record.spawned_to) + held.spawned
        wave = max(record.wave, record.spawn_wave) + 1
        tasks = self.some_tasks(first, count, pick)

        async def call(store: Store, side: int) -> bool:
            return await store.spawn(record.id, record.version, held.tokens[side], wave, tasks)

        if self.both("spawn", call, twice)[0]:
            held.spawned += count

    @precondition(lambda self: self.turns)
    @rule(which=st.integers(0, 99), delay_ms=DELAYS, failed=st.booleans(), twice=st.booleans())
    def defer(self, which: int, delay_ms: int, failed: bool, twice: bool) -> None:
        held = self.some_turn(which)

        async def call(store: Store, side: int) -> bool:
            return await store.defer(held.record.id, held.tokens[side], delay_ms, failed=failed) is not None

        self.both("defer", call, twice)

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 99), back=st.sampled_from([0, 0, 0, 1]), twice=st.booleans())
    def signal(self, which: int, back: int, twice: bool) -> None:
        asking = [job for job in self.jobs if self.is_asking(job)]
        job = asking[which % len(asking)] if asking and which % 6 else self.jobs[which % len(self.jobs)]
        record = self.runner.run(_awaited(self.sides[0].store.read(job)))
        token, entry = self.fresh("signal"), self.fresh("decided")
        self.both("signal", lambda s, _: s.signal(job, record.wave - back, decision(token), entry, token), twice)

    @precondition(lambda self: self.jobs)
    @rule(
        which=st.integers(0, 99),
        back=st.sampled_from([0, 0, 0, 1]),
        what=st.sampled_from(["answer", "answer", "decide", "escalate"]),
        following=st.sampled_from([None, 0, HOUR_MS]),
        twice=st.booleans(),
    )
    def change_question(self, which: int, back: int, what: str, following: int | None, twice: bool) -> None:
        asking = [job for job in self.jobs if self.is_asking(job)]
        job = asking[which % len(asking)] if asking and which % 6 else self.jobs[which % len(self.jobs)]
        record = self.runner.run(_awaited(self.sides[0].store.read(job)))
        tally = replace(record.tally, changes=max(record.tally.changes - back, 0))
        answered = core.with_answer(tally, Answer(f"p{which}", "approved", note="x" * back))
        token, entry = self.fresh("change"), self.fresh("changed")
        change = QuestionChange(
            job,
            record.wave,
            core.with_escalation(tally) if what == "escalate" else answered,
            entry,
            token,
            decision(token) if what == "decide" else "",
            what == "escalate",
            following if what == "escalate" else None,
            (Message(self.fresh("m"), b"hello"),) if which % 3 == 0 else (),
        )
        reply = self.both("question", lambda s, _: s.approvals.change(change), twice)[0]
        self.succeeded[f"question: {what}"] += not isinstance(reply, Refused)

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 99), name=st.sampled_from("xy"), most=st.sampled_from([1, 3]), twice=st.booleans())
    def send(self, which: int, name: str, most: int, twice: bool) -> None:
        waiting = [job for job in self.jobs if self.partition.jobs[job].awaited]
        job = (
            waiting[which % len(waiting)] if waiting and which % 4 and which > 0 else self.jobs[which % len(self.jobs)]
        )
        token = self.fresh("send")
        item = f'{{"k":"signal","n":"{name}","d":"{token}"}}'

        async def call(store: Store, _: int) -> Any:
            return await store.send(job, name, item, f"sent {token}", token, most) or "kept"

        reply = self.both("send", call, twice)[0]
        self.succeeded["kept" if reply == "kept" else "signalled"] += 1

    def is_asking(self, job: JobId) -> bool:
        record = self.runner.run(_awaited(self.sides[0].store.read(job)))
        return record is not None and record.status is JobStatus.WAITING_FOR_HUMAN

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 99), late=st.booleans(), number=st.integers(1, 3), twice=st.booleans())
    def migrate(self, which: int, late: bool, number: int, twice: bool) -> None:
        """To another version of the blueprint; or *late*, for a job that has gone on since."""
        job = self.jobs[which % len(self.jobs)]
        record = self.runner.run(_awaited(self.sides[0].store.read(job)))
        if record is None:
            return
        record = replace(record, version=record.version - late)
        moving = Migration(record, f"{number}:v", f"state{number}", record.context if number == 3 else None, "migrated")

        async def call(store: Store, _: int) -> str:
            return await store.blueprints.migrate(moving) or "moved"

        self.succeeded[f"migrate: {self.both('migrate', call, twice)[0]}"] += 1

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 99), grace_ms=DELAYS, overdue=st.booleans(), twice=st.booleans())
    def cancel(self, which: int, grace_ms: int, overdue: bool, twice: bool) -> None:
        job, token = self.jobs[which % len(self.jobs)], self.fresh("cancel")

        async def call(store: Store, _: int) -> Any:
            reply = await store.cancel(job, token, grace_ms, "asked", "passed down", overdue=overdue)
            return {"asked": sorted(reply)} if isinstance(reply, tuple) else reply

        self.both("cancel", call, twice)

    @precondition(lambda self: self.handed)
    @rule(which=st.integers(0, 99), kind=st.sampled_from(["final", "final", "tasks"]), progress=st.booleans())
    def a_job_is_cancelled_under_its_worker(self, which: int, kind: str, progress: bool) -> None:
        """The grace passes, the job ends or cleans up, and then its worker reports."""
        task = self.some_task(which)
        job = job_of(task.claimed)

        async def ask(store: Store, _: int) -> Any:
            reply = await store.cancel(job, "cancel", 0, "cancel asked")
            return {"asked": sorted(reply)} if isinstance(reply, tuple) else reply

        self.both("cancel", ask)
        ref = LeaseRef(task.claimed.task, task.claimed.attempt, task.fence)
        answers = self.both("extend", lambda store, _: store.extend(0, task.worker, HOUR_MS, [ref]))[0]
        self.succeeded.update(f"extend: {answer}" for answer in answers)
        prefix = self.fresh("tick")
        self.both("tick", partial(_tick, prefix))
        held = next((turn for turn in reversed(self.turns) if turn.record.id == job), None)
        if held is not None:
            commit = self.a_commit(held, kind, 1, which, None, 0)
            self.both("commit", lambda store, i: store.commit(replace(commit, token=held.tokens[i])))
        end = end_of(task.claimed, worker=task.worker, token=self.fresh("turn"))
        self.both("complete", lambda store, _: store.complete(end), progress)

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 99), luck=st.integers(0, 2), twice=st.booleans())
    def pause(self, which: int, luck: int, twice: bool) -> None:
        if luck:
            return
        job, words = self.jobs[which % len(self.jobs)], self.fresh("because")

        async def call(store: Store, _: int) -> Any:
            return await store.operations.pause(job, "ann", words, "paused", "paused above") or "paused"

        self.both("pause", call, twice)

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 99), twice=st.booleans())
    def resume(self, which: int, twice: bool) -> None:
        paused = [job for job in self.jobs if self.partition.jobs[job].record.pause is not None]
        job = paused[which % len(paused)] if paused and which % 6 else self.jobs[which % len(self.jobs)]
        token = self.fresh("resume")

        async def call(store: Store, _: int) -> Any:
            return await store.operations.resume(job, token, "resumed", "resumed above") or "resumed"

        self.both("resume", call, twice)

    @precondition(lambda self: self.final)
    @rule(which=st.integers(0, 99), back=st.sampled_from([0, 0, 1]), new=st.booleans(), twice=st.booleans())
    def retry(self, which: int, back: int, new: bool, twice: bool) -> None:
        over = [job for job in self.jobs if job in self.final and self.status_of(job) is not JobStatus.FINISHED]
        if not over:
            return
        job, token = over[which % len(over)], self.fresh("retry")
        record = self.partition.jobs[job].record
        context = Context(argument=token, results=record.context.results)
        again = Retry(job, record.version - back, token, "2", "again", context, "retried")
        self.serial += 1
        made = new_job(id=new_job_id(FIRST_MS, 0, self.serial), tenant=record.tenant)

        async def call(store: Store, _: int) -> Any:
            if new:
                return await store.operations.rerun(job, made, token) or "made before"
            return await store.operations.retry(again) or "retried before"

        reply = self.both("rerun" if new else "retry", call, twice)[0]
        if new:
            self.jobs.append(made.id)
        elif isinstance(reply, Turn):
            self.final.discard(job)

    def status_of(self, job: JobId) -> JobStatus:
        status: JobStatus = self.partition.jobs[job].record.status
        return status

    @precondition(lambda self: len(self.jobs) > 2)
    @rule(which=st.integers(0, 99), luck=st.integers(0, 3), twice=st.booleans())
    def delete(self, which: int, luck: int, twice: bool) -> None:
        """Whatever its state. Who holds its turn or a task comes back as a zombie."""
        if luck:
            return
        job = self.jobs[which % len(self.jobs)]

        async def call(store: Store, _: int) -> str:
            await store.delete(job)
            assert await store.read(job) is None
            return "deleted"

        self.both("delete", call, twice)
        self.jobs.remove(job)
        self.final.discard(job)

    # Tasks

    @rule(
        seats=st.integers(0, 4),
        lease_ms=DELAYS,
        swap=st.booleans(),
        register=st.booleans(),
        twice=st.sampled_from([False, False, True]),
    )
    def claim(self, seats: int, lease_ms: int, swap: bool, register: bool, twice: bool) -> None:
        claim = self.a_claim(seats, lease_ms, swap=swap, register=register)
        self.both("claim", lambda store, _: store.claim(0, claim), twice)

    @precondition(lambda self: self.handed)
    @rule(
        which=st.integers(0, 99),
        mode=st.sampled_from([Mode.DELIVER, Mode.DELIVER, Mode.DELIVER, Mode.RETRY, Mode.LOST, Mode.REQUEUE]),
        who=st.sampled_from(["worker", "worker", "worker", "engine", "stranger"]),
        fenced=st.booleans(),
        failed=st.booleans(),
        delay_ms=DELAYS,
        seats=st.integers(0, 2),
        twice=st.booleans(),
    )
    def complete(
        self, which: int, mode: Mode, who: str, fenced: bool, failed: bool, delay_ms: int, seats: int, twice: bool
    ) -> None:
        task = self.some_task(which)
        end = end_of(
            task.claimed,
            worker={"worker": task.worker, "engine": "", "stranger": "w9"}[who],
            attempt=task.claimed.attempt if fenced else None,
            fence=task.fence if fenced else None,
            mode=mode,
            delay_ms=delay_ms,
            failed=failed,
            counts=f'{{"BUSY":{which}}}' if which % 2 else "",
            item=item_of(number_of(task.claimed), "failure" if failed else "success"),
            token=self.fresh("turn"),
            claim=self.a_claim(seats) if seats and mode is Mode.DELIVER else None,
        )
        reply = self.both("complete", lambda store, _: store.complete(end), twice)[0]
        if isinstance(reply, Completed):
            self.succeeded["retry" if reply.retried else "join" if reply.turn else "noted"] += 1

    @precondition(lambda self: self.handed)
    @rule(
        which=st.integers(0, 99),
        kind=st.sampled_from(["tasks", "tasks", "tasks", "human", "sleep", "go", "final"]),
        count=st.integers(1, 2),
        pick=st.integers(0, 99),
        who=st.sampled_from(["worker", "worker", "worker", "engine", "stranger"]),
        fenced=st.booleans(),
        back=st.sampled_from([0, 0, 0, 1]),
        seats=st.integers(0, 2),
        twice=st.booleans(),
    )
    def step(
        self, which: int, kind: str, count: int, pick: int, who: str, fenced: bool, back: int, seats: int, twice: bool
    ) -> None:
        """An end with the turn that it should make due; now and then decided on an older version of the job."""
        handed = self.some_task(which)
        number, token = number_of(handed.claimed), self.fresh("turn")
        record = self.runner.run(_awaited(self.sides[0].store.read(job_of(handed.claimed))))
        if record is None:
            return
        known = replace(record, version=max(record.version - back, 0), cancel_requested=False)
        claim = self.a_claim(seats) if seats else None
        decided = self.a_commit(Held(known, ("", "")), kind, count, pick, claim, HOUR_MS)
        end = end_of(
            handed.claimed,
            worker={"worker": handed.worker, "engine": "", "stranger": "w9"}[who],
            attempt=handed.claimed.attempt if fenced else None,
            fence=handed.fence if fenced else None,
            failed=bool(pick % 3 == 0),
            item=item_of(number, "failure" if pick % 3 == 0 else "success"),
            token=token,
        )
        reply = self.both("step", lambda store, _: store.step(end, replace(decided, token=token)), twice)[0]
        if isinstance(reply, Completed):
            self.succeeded["step only completes: " + ("turn" if reply.turn else "noted")] += 1
        elif isinstance(reply, Stepped):
            self.succeeded["stepped on" if reply.committed.turn is None else "stepped and again"] += 1

    @precondition(lambda self: self.handed)
    @rule(
        which=st.integers(0, 99),
        first=st.integers(0, 3),
        kinds=st.lists(st.sampled_from(["line", "line", "step", "meta", "progress"]), max_size=4),
        pick=st.integers(0, 99),
        twice=st.booleans(),
    )
    def tell(self, which: int, first: int, kinds: list[str], pick: int, twice: bool) -> None:
        """Events, from who holds the task or not; in order, overlapping or with a gap."""
        handed = self.some_task(which)
        entries = tuple(_entry(kind, first + i, pick) for i, kind in enumerate(kinds))
        events = TaskEvents(
            job=job_of(handed.claimed),
            number=number_of(handed.claimed),
            worker=WORKERS[pick % 2] if pick % 5 == 0 else handed.worker,
            attempt=handed.claimed.attempt,
            fence=None if pick % 3 else handed.fence,
            first=first,
            entries=entries,
            log_bytes_max=150 if pick % 2 else 10_000,
        )
        self.both("append", lambda store, _: store.append(events), twice)

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 99), seq=st.integers(1, 9), pick=st.integers(0, 9), twice=st.booleans())
    def note_line(self, which: int, seq: int, pick: int, twice: bool) -> None:
        """A line under a number of its teller's, in any order, between those of workers."""
        job = self.jobs[which % len(self.jobs)]
        line = NotedLine(job, seq, UnixMs(pick), "stderr", f"noted {pick}", 150 if pick % 2 else 10_000)
        self.both("note_line", lambda store, _: store.note_line(line), twice)

    @precondition(lambda self: self.handed)
    @rule(which=st.integers(0, 99), count=st.integers(1, 3), who=st.integers(0, 5), lease_ms=DELAYS)
    def extend(self, which: int, count: int, who: int, lease_ms: int) -> None:
        tasks = [self.some_task(which + i) for i in range(count)]
        worker = tasks[0].worker if who else ""
        refs = [
            LeaseRef(task.claimed.task, task.claimed.attempt, task.fence, 0.5, "half", (None, 0, HOUR_MS)[which % 3])
            for task in tasks
        ]
        answers = self.both("extend", lambda store, _: store.extend(0, worker, lease_ms, refs))[0]
        self.succeeded.update(f"extend: {answer}" for answer in answers)

    @precondition(lambda self: self.handed)
    @rule(which=st.integers(0, 99), twice=st.booleans())
    def release(self, which: int, twice: bool) -> None:
        task = self.some_task(which)
        self.both("release", lambda s, _: s.release(task.claimed.task, task.claimed.attempt, task.fence), twice)

    # Time

    @rule(twice=st.booleans())
    def tick(self, twice: bool) -> None:
        for _ in range(1 + twice):
            prefix = self.fresh("tick")
            tick = self.both("tick", partial(_tick, prefix))[0]
            kinds = ("leases", "messages", "turns", "escalations")
            self.succeeded.update(kind for kind in kinds if getattr(tick, kind))
            self.succeeded["overdue"] += len(tick.overdue)
            self.succeeded.update(str(lease.timeout) for lease in tick.leases if lease.timeout is not None)

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 99))
    def an_owner_of_a_turn_dies(self, which: int) -> None:
        """Its lease runs out; it may come back as a zombie, since its turn is still among `turns`."""
        job = self.jobs[which % len(self.jobs)]
        self.bring_forward("D", job)
        model = self.partition.jobs[job]
        if model.turn_at is not None:
            model.turn_at = 0

    @precondition(lambda self: self.handed)
    @rule(which=st.integers(0, 99))
    def a_lease_runs_out(self, which: int) -> None:
        task = self.some_task(which).claimed.task
        self.bring_forward("L", task)
        if task in self.partition.tasks:
            self.partition.tasks[task].lease_ends_at = 0

    @rule()
    def all_timers_run_out(self) -> None:
        for timer in self.server.client.zrange(f"{self.tag}tm", 0, -1):
            self.bring_forward("tm", timer)
        for timer in self.partition.timers:
            self.partition.timers[timer] = 0

    def bring_forward(self, key: str, member: Any) -> None:
        self.server.client.zadd(f"{self.tag}{key}", {member: 0}, xx=True)

    @property
    def tag(self) -> str:
        return self.deployments[1].tags[0]

    @property
    def partition(self) -> Any:
        return self.deployments[0]._state.partitions[0]

    @precondition(lambda self: self.messages)
    @rule(which=st.integers(0, 99), retry_in_ms=st.sampled_from([None, 0, HOUR_MS]), twice=st.booleans())
    def settle(self, which: int, retry_in_ms: int | None, twice: bool) -> None:
        message, tries = self.messages[which % len(self.messages)]
        if not self.may_settle(message):
            retry_in_ms = retry_in_ms or 0

        async def call(store: Store, _: int) -> str:
            await store.settle(0, message, tries, retry_in_ms)
            return "settled"

        self.both("settle", call, twice)

    def may_settle(self, message: str) -> bool:
        """What a child and its parent tell each other is sent until it has arrived."""
        return message in self.arrived or not message.endswith((".start", ".end"))

    @precondition(lambda self: any(is_awaited_message(self.partition, message) for message, _ in self.messages))
    @rule(which=st.integers(0, 99), grace_ms=DELAYS, twice=st.booleans())
    def a_childs_message_arrives(self, which: int, grace_ms: int, twice: bool) -> None:
        """As the engine delivers it, but for a child whose start was withdrawn: that is begun, and then cancelled."""
        some = [message for message, _ in self.messages if is_awaited_message(self.partition, message)]
        outgoing = self.partition.outbox[some[which % len(some)]]
        told = read_child_message(outgoing.body)
        self.arrived.add(some[which % len(some)])
        if isinstance(told, StartChild):
            token = self.fresh("begun")
            known = told.job.id in self.partition.jobs
            self.both("a child begins", lambda store, _: store.children.begin(told.job, token), twice)
            if not known:
                self.jobs.append(told.job.id)
            if outgoing.withdrawn:
                self.cancel(self.jobs.index(told.job.id), grace_ms, overdue=False, twice=twice)
        elif isinstance(told, EndOfChild):
            self.both(
                "a child ends",
                lambda store, _: store.children.ended(told.parent, told.wave, told.child, told.item),
                twice,
            )
        elif isinstance(told, HoldChild):
            self.both("a child is held", lambda store, _: store.children.hold(told, "told"), twice)
        elif isinstance(told, CancelChild) and told.child in self.jobs:
            self.cancel(self.jobs.index(told.child), grace_ms, overdue=False, twice=twice)

    # Limits

    @rule(gate=st.sampled_from(GATES), policy=POLICIES, twice=st.booleans())
    def limit(self, gate: str, policy: Policy | None, twice: bool) -> None:
        async def call(store: Store, _: int) -> str:
            return "counting" if await store.flow.set_policy(0, gate, policy) else "limited"

        self.both("limit", call, twice)
        if policy is None or policy.most is not None:
            self.audit(twice=False)

    @rule(twice=st.booleans())
    def audit(self, twice: bool) -> None:
        found = self.both("audit", lambda store, _: store.flow.audit(0), twice)[0]
        assert found.drift == 0
        self.succeeded["slots given"] += found.given

    @precondition(lambda self: self.jobs)
    @rule(seats=st.integers(1, 3))
    def more_than_the_gates_let_pass(self, seats: int) -> None:
        """Whatever is ready is asked for."""
        self.claim(seats, 0, swap=False, register=True, twice=False)
        parked = sum(len(queue.parked) for queue in self.partition.queues.values())
        self.succeeded["parked"] += parked
        self.succeeded["shut"] += len(self.partition.gates.waiting)
        self.succeeded["open"] += sum(len(gates) for gates in self.partition.gates.open.values())

    # Workers

    @rule(
        worker=st.sampled_from(WORKERS),
        what=st.sampled_from(["register", "beat", "touch", "ask_cancel", "forget_cancel"]),
        twice=st.booleans(),
    )
    def worker_lives(self, worker: str, what: str, twice: bool) -> None:
        async def call(store: Store, _: int) -> Any:
            match what:
                case "register":
                    await store.register(worker, HOUR_MS, {"id": worker})
                case "beat":
                    return await store.beat(worker, HOUR_MS, {"load": "1"}), "beat"
                case "touch":
                    return await store.touch(HOUR_MS, WORKERS), "touched"
                case "ask_cancel":
                    await store.ask_cancel(worker, ["a", "b"])
                case _:
                    await store.forget_cancel(worker, "a")
            found = sorted(await store.workers(), key=lambda fields: fields["id"])
            return found, await store.cancels(worker), await store.worker(worker), what

        self.both(what, call, twice)


async def _tick(prefix: str, store: Store, _: int) -> Tick:
    return await store.tick(0, prefix)


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value


def _entry(kind: str, number: int, pick: int) -> Entry:
    match kind:
        case "line":
            return Line(FIRST_MS, "stderr" if pick % 2 else "stdout", f"line {number}")
        case "step":
            return Step(pick % 3, b'{"n":%d}' % number, is_over=bool(number % 2))
        case "meta":
            return Meta(f"k{pick % 3}", str(number))
        case _:
            return Progress(pick / 100, "")


def _pending(job: JobId) -> JobRecord:
    new = new_job(id=job)
    return JobRecord(
        id=job, tenant=new.tenant, blueprint=new.blueprint, blueprint_version=new.blueprint_version,
        status=JobStatus.PENDING, state=new.state, version=0, revision=0, wave=0, next_task=0,
        submission=new.submission, context=new.context, created_at=FIRST_MS, updated_at=FIRST_MS,
    )  # fmt: skip


def steps_on_the_way(machine: StoreMachine) -> None:
    """A job that goes on by one step, one that is due again at once; one decided too early, and one of a fan."""

    def step(kind: str, back: int = 0, who: str = "worker", *, twice: bool = True) -> None:
        machine.step(-1, kind, 1, 1, who, fenced=True, back=back, seats=1, twice=twice)

    for kind, back in (("tasks", 0), ("go", 0), ("tasks", 1)):
        machine.submit_decided("tasks", 1, 1, 1, twice=False)
        step(kind, who="stranger")
        step(kind, back)
    machine.submit_decided("tasks", 2, 1, 2, twice=False)
    step("tasks")


def retries_on_the_way(machine: StoreMachine) -> None:
    """A job that failed, with a task that its worker still has: itself again, then it fails again, and as another."""
    machine.submit_decided("final", 0, 1, 0, twice=False)
    for new, back in ((False, 1), (False, 0), (False, 0)):  # at another version; then it is; then it is live
        machine.retry(0, back, new=new, twice=True)
    machine.commit(-1, "final", 0, 1, 0, 0, twice=True)
    machine.retry(0, 0, new=True, twice=True)


def several_children(machine: StoreMachine) -> None:
    """One wait for a child here and two spread ones: the first end decides; then again, and the job is cancelled."""
    machine.submit_decided("children", 1, 2, 0, twice=True)
    machine.tick(twice=False)
    machine.a_childs_message_arrives(0, HOUR_MS, twice=True)
    machine.commit(3, "final", 1, 3, 0, 0, twice=True)
    machine.tick(twice=False)
    for which in range(len(machine.messages)):
        machine.a_childs_message_arrives(which, HOUR_MS, twice=True)
    for cancelled in (False, True):
        machine.submit_decided("children", 3, 2, 0, twice=True)
        machine.tick(twice=False)
        if cancelled:
            machine.cancel(len(machine.jobs) - 2, HOUR_MS, overdue=False, twice=True)
            machine.tick(twice=False)
        for which in range(3):
            machine.a_childs_message_arrives(which, HOUR_MS, twice=True)
        if not cancelled:
            parent = next(job for job in reversed(machine.partition.jobs.values()) if len(job.children) > 1)
            machine.pause(machine.jobs.index(parent.id), 0, twice=True)
            machine.tick(twice=False)
            for which in range(6):
                machine.a_childs_message_arrives(which, HOUR_MS, twice=True)
            machine.resume(1, twice=True)
            machine.tick(twice=False)
            for which in range(9):
                machine.a_childs_message_arrives(which, HOUR_MS, twice=False)
        machine.commit(3, "final", 1, 3, 0, 0, twice=True)
        machine.tick(twice=True)
        for which in range(4):
            machine.a_childs_message_arrives(which, HOUR_MS, twice=False)
            machine.settle(which, None, twice=False)


def pauses_on_the_way(machine: StoreMachine) -> None:
    """A job whose ready tasks are parked while one is running; a parent with its child; one that gets its signal."""
    machine.submit_decided("tasks", 3, 1, 1, twice=False)
    last = len(machine.jobs) - 1
    machine.pause(last, 0, twice=True)
    machine.claim(4, 0, swap=False, register=True, twice=False)
    machine.complete(-1, Mode.DELIVER, "worker", fenced=True, failed=False, delay_ms=0, seats=0, twice=False)
    machine.resume(1, twice=True)
    machine.resume(1, twice=False)  # it is not paused any more
    machine.claim(4, 0, swap=False, register=True, twice=False)
    machine.submit_decided("child", 0, 1, 0, twice=False)
    parent = len(machine.jobs) - 2
    machine.pause(parent, 0, twice=False)
    machine.tick(twice=False)
    machine.resume(1, twice=True)
    machine.pause(parent, 0, twice=False)
    machine.cancel(parent, 0, overdue=False, twice=True)
    machine.submit_decided("signal", 0, 1, 0, twice=True)
    machine.pause(len(machine.jobs) - 1, 0, twice=True)
    machine.send(-1, "y", 3, twice=True)
    machine.resume(1, twice=True)
    machine.submit("a", "", twice=False)
    machine.pause(len(machine.jobs) - 1, 0, twice=False)
    machine.commit(-1, "final", 0, 1, 0, 0, twice=True)  # the turn is lost
    machine.submit_decided("tasks", 1, 1, 1, twice=False)
    working = len(machine.jobs) - 1
    machine.cancel(working, HOUR_MS, overdue=False, twice=False)
    machine.pause(working, 0, twice=False)
    machine.submit_decided("final", 0, 1, 0, twice=False)
    machine.pause(len(machine.jobs) - 1, 0, twice=False)


def moves_between_versions(machine: StoreMachine) -> None:
    """A job that waits, one that has gone on meanwhile, and one that is over."""
    for kind, late, number in (("human", True, 3), ("human", False, 3), ("final", False, 2)):
        machine.submit_decided(kind, 0, 1, 0, twice=False)
        machine.migrate(-1, late, number, twice=True)


def signals_early_and_late(machine: StoreMachine) -> None:
    machine.submit_decided("signal", 0, 1, 0, twice=True)
    for name in "xxyyx":  # the first one of y is awaited; the last one is one too many
        machine.send(-1, name, 3, twice=True)
    machine.submit_decided("final", 0, 1, 0, twice=False)
    machine.send(-1, "x", 3, twice=False)


def questions_on_the_way(machine: StoreMachine) -> None:
    machine.submit_decided("human", 0, 1, 0, twice=True)
    for _ in range(2):  # the second answer loses
        machine.signal(1, 0, twice=True)
    machine.submit_decided("human", 0, 1, 0, twice=True)
    for what, back in (("answer", 0), ("answer", 1), ("escalate", 0), ("decide", 0), ("answer", 0)):
        machine.tick(twice=False)
        machine.change_question(3, back, what, 0, twice=True)


def tour(machine: StoreMachine) -> None:
    """One fixed walk past every operation: what random steps reach is a matter of luck."""
    machine.connect()
    for tenant in "aba":
        machine.submit(tenant, "k1", twice=True)
    for which in range(1, 4):
        machine.extend(which, 1, 1, HOUR_MS)
    for _ in range(2):  # the second one is stale
        machine.complete(1, Mode.RETRY, "worker", fenced=True, failed=True, delay_ms=0, seats=0, twice=False)
    machine.tell(1, 0, ["line"], 1, twice=True)  # of a superseded attempt
    machine.tell(2, 0, ["line", "step", "meta", "progress"], 1, twice=True)
    machine.note_line(2, 9, 0, twice=False)
    machine.note_line(2, 3, 0, twice=False)
    for worker in (5, 10):  # one of the two does not hold it
        machine.tell(2, 0, ["line"], worker, twice=True)
    machine.complete(2, Mode.DELIVER, "stranger", fenced=True, failed=False, delay_ms=0, seats=0, twice=False)
    machine.release(2, twice=True)
    machine.claim(4, 0, swap=False, register=True, twice=False)
    machine.tick(twice=True)
    machine.settle(0, HOUR_MS, twice=True)
    for which in range(1, 8):
        machine.complete(which, Mode.DELIVER, "worker", fenced=False, failed=False, delay_ms=0, seats=0, twice=False)
        machine.extend(which, 1, 1, HOUR_MS)
    questions_on_the_way(machine)
    machine.spawn(3, 2, 1, twice=True)
    for _ in range(2):  # the same turn with another plan: what was written first stays
        machine.commit(3, "tasks", 1, 1, 0, 0, twice=True)
    machine.defer(2, 0, failed=True, twice=True)
    machine.tick(twice=False)
    machine.submit_decided("tasks", 2, 1, 2, twice=False)
    for which in (-1, -2):
        machine.a_job_is_cancelled_under_its_worker(which, "final", progress=False)
    machine.cancel(len(machine.jobs) - 1, 0, overdue=False, twice=True)
    machine.submit_decided("tasks", 1, 2, 1, twice=False)  # its schedule_to_close has passed already
    machine.tick(twice=False)
    steps_on_the_way(machine)
    moves_between_versions(machine)
    signals_early_and_late(machine)
    machine.submit_decided("child", 0, 1, 0, twice=True)
    machine.tick(twice=False)
    for kind in ("child", "final"):  # the child of the child ends, and each end makes the turn above due
        machine.commit(3, kind, 1, 3, 0, 0, twice=True)
        machine.tick(twice=False)
    machine.submit_decided("child", 0, 1, 0, twice=False)
    machine.cancel(len(machine.jobs) - 2, 0, overdue=True, twice=True)
    several_children(machine)
    pauses_on_the_way(machine)
    retries_on_the_way(machine)
    for which in range(1, 5):  # zombies
        machine.commit(which, "final", 1, 1, 0, 0, twice=False)
    for _ in range(2):
        machine.delete(0, 0, twice=True)
    machine.commit(-1, "tasks", 1, 1, 0, 0, twice=True)
    for what in ("register", "beat", "touch", "ask_cancel", "forget_cancel"):
        machine.worker_lives("w1", what, twice=True)
    past_gates(machine)
    machine.submit_decided("tasks", 1, 3, 1, twice=False)
    machine.tick(twice=False)  # its handler gave no sign
    machine.teardown()


def past_gates(machine: StoreMachine) -> None:
    """Fans with a cap, keys and tenants, limits that come, tighten and go while tasks run and wait."""
    for pick in (11, 1, 2, 3, 5):
        machine.submit_decided("tasks", 3, pick, 1, twice=True)
        machine.limit(GATES[pick % len(GATES)], Policy(most=1), twice=True)
        machine.more_than_the_gates_let_pass(2)
    for _ in range(4):
        machine.complete(-1, Mode.RETRY, "worker", fenced=True, failed=True, delay_ms=0, seats=0, twice=True)
        machine.release(-2, twice=True)
        machine.more_than_the_gates_let_pass(2)
    for gate in GATES:
        machine.limit(gate, None, twice=True)
        machine.more_than_the_gates_let_pass(2)


MUST_HAPPEN = (
    "submit", "existing", "submit with first", "commit", "spawn", "defer", "signal", "cancel", "claim", "complete",
    "join", "noted", "retry", "extend: ok", "extend: lost", "extend: cancel", "release", "tick", "leases", "messages",
    "turns", "escalations", "question: answer", "question: decide", "question: escalate", "question refused: changed",
    "question refused: conflict", "settle", "register", "beat", "touch", "ask_cancel", "forget_cancel",
    "complete refused: gone",
    "complete refused: stale", "complete refused: foreign", "complete refused: final", "commit refused: stale",
    "signal refused: conflict", "cancel refused: final", "append", "append refused: stale", "append refused: foreign",
    "note_line",
    "pause", "pause refused: final", "pause refused: cancelling", "resume", "resume refused: not_paused",
    "retry", "retry refused: stale", "rerun",
    "delete", "child", "a child begins", "a child ends", "a child is held",
    "send", "kept", "signalled", "send refused: full", "send refused: final", "stepped on",
    "stepped and again", "step only completes: turn", "step refused: gone",
    "step refused: foreign", "limit", "slots given", "parked", "shut",
    "overdue", "schedule_to_start", "schedule_to_close", "heartbeat",
    "migrate: moved", "migrate: stale", "migrate: final",
)  # fmt: skip


@pytest.fixture
def nothing_runs_out_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk may last longer than a hold or a turn's lease; the two sides then differ by milliseconds."""
    for name, module in list(sys.modules.items()):
        if name.startswith("muster.store"):
            for bound in ("HOLD_MS", "TICK_HOLD_MS", "TURN_LEASE_MS"):
                monkeypatch.setattr(module, bound, HOUR_MS, raising=False)


@pytest.mark.usefixtures("nothing_runs_out_by_itself")
@pytest.mark.timeout(0 if LONG else 300)  # a failure takes its time to be made small
@pytest.mark.parametrize(("kind", "examples"), [("valkey", 2_000 if LONG else 16), ("redis", 500 if LONG else 6)])
def test_the_server_does_what_the_model_does(servers: Servers, kind: ServerKind, examples: int) -> None:
    class Machine(StoreMachine):
        server = servers.get(kind)
        succeeded: ClassVar[Counter[str]] = Counter()

    tour(Machine())
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=80 if LONG else 50,
            deadline=None,
            derandomize=not LONG,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
    missing = [word for word in MUST_HAPPEN if not Machine.succeeded[word]]
    assert not missing, f"never happened: {missing}; what did: {dict(Machine.succeeded)}"
