"""What must be true of a chaos run. Reads only what the run wrote down, so that it may be judged again later.

The numbers are those of docs/guarantees.md where it has them; each sentence stands for itself.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import orjson
from muster.core.ids import split_task_id
from muster.store.keys import global_tag, partition_tags, short_hash

from tests.chaos.shapes import NAP_S, SHAPE_OF, Shape
from tests.support.dump import Dump, Entry
from tests.support.invariants import violations
from tests.system.callers import FINAL

TENANT: Final = "alpha"
NAMESPACE: Final = "muster"
LOSSES_MAX: Final = 3
FINISHED_PART_MIN: Final = 0.5
"""Less would mean that the run mostly tested how jobs are given up."""
Event = dict[str, Any]


@dataclass(frozen=True)
class Violation:
    text: str
    job: str | None = None


@dataclass
class Run:
    """A run as written down; see `run.write_down`."""

    seed: int
    bound_s: float
    orders: list[dict[str, Any]]
    faults: list[dict[str, Any]]
    fault_kinds: list[str]
    runs: list[str]
    receipts: list[str]
    hooks: list[list[str]]
    quiet_at: float
    store: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, text: bytes) -> "Run":
        return cls(**orjson.loads(text))

    @cached_property
    def dump(self) -> Dump:
        return Dump(
            {
                key: Entry(e["type"], e["ttl_ms"], set(e["value"]) if e["type"] == "set" else e["value"])
                for key, e in self.store.items()
            }
        )

    @cached_property
    def partition(self) -> Dump:
        return self.dump.under(partition_tags(NAMESPACE, 1)[0])

    @cached_property
    def jobs(self) -> dict[str, dict[str, str]]:
        return {job: entry.value for job, entry in self.partition.of("j:")}

    @cached_property
    def histories(self) -> dict[str, list[Event]]:
        return {job: [_event(text) for text in entry.value] for job, entry in self.partition.of("h:")}


def _event(text: str) -> Event:
    stamp, _, blob = text.partition("|")
    return {"at": int(stamp.partition(":")[0]), **orjson.loads(blob)}


def judge(run: Run) -> list[Violation]:
    found = [
        *_store(run),
        *_jobs_and_orders(run),
        *_receipts(run),
        *_executions(run),
        *_hooks(run),
        *_progress(run),
    ]
    for order in run.orders:
        if order["job_ids"] and order["job_ids"][0] in run.jobs:
            found += [Violation(text, order["job_ids"][0]) for text in _order(run, order, SHAPE_OF[order["shape"]])]
    return found


def _store(run: Run) -> Iterator[Violation]:
    """Every key is explained, in its place and with its lifetime; no job is without something that moves it."""
    for tag in (partition_tags(NAMESPACE, 1)[0], global_tag(NAMESPACE)):
        yield from (Violation(text) for text in violations(run.dump.under(tag)))
    for key in run.partition.entries:
        if key in {"D", "L", "tm"} or key.startswith(("t:", "f:", "q:", "ob:")):
            yield Violation(f"{key} is left after every job has ended")


def _jobs_and_orders(run: Run) -> Iterator[Violation]:
    """An accepted job exists, once for each key; no job exists that nobody asked for."""
    known = {key: entry.value.partition("|")[0] for key, entry in run.partition.of("k:")}
    asked: set[str] = set()
    for order in run.orders:
        stored = known.get(short_hash(f"{TENANT}\0{order['key']}"))
        asked |= {stored} if stored else set()
        if len(set(order["job_ids"])) > 1:
            yield Violation(f"{order['key']} was answered with {sorted(set(order['job_ids']))}")
        for job in order["job_ids"]:
            if job not in run.jobs:
                yield Violation(f"accepted job {job} of {order['key']} is lost")
            elif job != stored:
                yield Violation(f"{order['key']} made {stored}, its client was told {job}")
        if order["job_ids"] and order["ended_at"] is None:
            yield Violation(f"{order['key']} had not ended {run.bound_s:g} s after the last fault", order["job_ids"][0])
    for job in run.jobs.keys() - asked:
        if run.jobs[job].get("pa", "").partition("|")[0] not in asked:
            yield Violation("nobody asked for this job", job)


def _order(run: Run, order: dict[str, Any], shape: Shape) -> Iterator[str]:
    job = order["job_ids"][0]
    fields, events = run.jobs[job], run.histories.get(job, [])
    ends = [event["e"] for event in events if event["e"].startswith("job_") and event["e"] != "job_created"]
    if ends != [f"job_{fields['st']}"]:
        yield f"it is {fields['st']}, its ends are {ends}"
    yield from _reads(order, fields["st"])
    yield from _tasks(events, fields["st"], shape)
    if fields["st"] == "finished":
        yield from _finished(order, shape, fields, events)
        if shape.retried and f"{job}.0 1" in run.runs and not any(event["e"] == "task_retried" for event in events):
            yield "its first failure left no trace"
    elif fields["st"] == "quarantined":
        yield from _quarantined(events)
    elif shape.starts_another and fields["st"] == "failed":
        yield from _bereaved(events, run)
    elif not (shape.cancels and fields["st"] == "cancelled"):
        yield f"a job of shape {shape.name} ended as {fields['st']}: {fields['err']}"


def _reads(order: dict[str, Any], status: str) -> Iterator[str]:
    """What a client saw never went back, and an end stayed."""
    versions = [version for _, version in order["seen"]]
    if versions != sorted(versions):
        yield f"its client saw the versions {versions}"
    ends = {seen for seen, _ in order["seen"] if seen in FINAL}
    if ends - {status}:
        yield f"its client saw it end as {sorted(ends)}, it is {status}"


def _finished(order: dict[str, Any], shape: Shape, fields: dict[str, str], events: list[Event]) -> Iterator[str]:
    states = tuple(event["s"] for event in events if event["e"] == "state_entered")
    if states != shape.states:
        yield f"it went through {states}"
    result, expected = orjson.loads(fields["res"]), shape.result(order["number"])
    if result != expected:
        yield f"its result is {result}, not {expected}"
    taken = Counter(event["n"] for event in events if event["e"] == "task_finished")
    if taken != Counter(dict.fromkeys(range(shape.tasks), 1)):
        yield f"results taken for each task: {sorted(taken.items())}"
    answers = sum(event["e"] == "approval_received" for event in events)
    if answers != (1 if shape.name == "ask" else 0):
        yield f"{answers} decisions were taken"
    if shape.name == "nap" and int(fields["ft"]) - int(fields["ct"]) < NAP_S * 1000:
        yield "its sleep was cut short"


def _tasks(events: list[Event], status: str, shape: Shape) -> Iterator[str]:
    """The newest attempt of the moment is the one that counts, and nothing starts once the end was asked for."""
    newest: dict[int, int] = {}
    cancelled = False
    for event in events:
        number: int = event.get("n", -1)
        cancelled |= event["e"] == "cancel_requested"
        if event["e"] == "task_started":
            if event["a"] <= newest.get(number, 0):
                yield f"attempt {event['a']} of task {number} started after attempt {newest[number]}"
            newest[number] = event["a"]
            if cancelled:
                yield f"task {number} was handed out after the job was cancelled"
        elif event["e"] in {"task_finished", "task_retried"} and event.get("a") not in {None, newest.get(number)}:
            yield f"took attempt {event['a']} of task {number}, the newest was {newest.get(number)}"
    if sum(event["e"] == "cancel_requested" for event in events) > 1:
        yield "it was cancelled twice"


def _bereaved(events: list[Event], run: Run) -> Iterator[str]:
    """Only a child that was given up excuses its parent."""
    children = [event["d"]["job"] for event in events if event["e"] == "child_started"]
    statuses = [run.jobs[child]["st"] for child in children if child in run.jobs]
    if statuses != ["quarantined"]:
        yield f"it failed though its child was {statuses}"


def _quarantined(events: list[Event]) -> Iterator[str]:
    """Only a task that cost too many workers excuses a job that was given up."""
    lost = Counter(event["n"] for event in events if event.get("d", {}).get("code") == "WORKER_LOST")
    if max(lost.values(), default=0) < LOSSES_MAX:
        yield f"it was given up though its tasks lost {dict(lost)} workers"


def _receipts(run: Run) -> Iterator[Violation]:
    """A result that was acknowledged as taken is in the history."""
    for line in run.receipts:
        task, status, word = (*line.split(" "), "")[:3]
        parts = split_task_id(task)
        assert parts is not None, line
        events = run.histories.get(parts[0], [])
        taken = any(event["e"] == "task_finished" and event["n"] == parts[1] for event in events)
        if word == "result_accepted_success" and not taken:
            yield Violation(f"the result of {task} was acknowledged ({status}) and is not in the history", parts[0])


def _executions(run: Run) -> Iterator[Violation]:
    """A worker only ever runs what was handed out, and each attempt at most once."""
    started = Counter(
        f"{job}.{event['n']}"
        for job, events in run.histories.items()
        for event in events
        if event["e"] == "task_started"
    )
    ran = Counter(line.split(" ")[0] for line in run.runs)
    for task, times in ran.items():
        if times > started[task]:
            yield Violation(
                f"{task} was run {times} times and handed out {started[task]} times", task.partition(".")[0]
            )


def _hooks(run: Run) -> Iterator[Violation]:
    """Whoever wanted to be told of the end was, under one id however often."""
    told: dict[str, set[str]] = {}
    for message_id, event, job in run.hooks:
        if event in {f"job_{status}" for status in FINAL}:
            told.setdefault(job, set()).add(message_id)
    for order in run.orders:
        for job in set(order["job_ids"]):
            ids = told.get(job, set())
            if order["with_hook"] and order["ended_at"] is not None and len(ids) != 1:
                yield Violation(f"its end was told under the ids {sorted(ids)}", job)


def _progress(run: Run) -> Iterator[Violation]:
    """A run in which nothing broke, or nothing worked, proves nothing."""
    fired = {fault["kind"] for fault in run.faults}
    for kind in set(run.fault_kinds) - fired:
        yield Violation(f"the fault {kind!r} never happened")
    statuses = Counter(fields["st"] for fields in run.jobs.values())
    if statuses["finished"] < FINISHED_PART_MIN * max(len(run.orders), 1) or not run.orders:
        yield Violation(f"of {len(run.orders)} orders only {statuses['finished']} finished: {dict(statuses)}")
    for shape in SHAPE_OF.keys() - {order["shape"] for order in run.orders}:
        yield Violation(f"no job of shape {shape} was ordered")
