"""What must be true of the keys of a partition between any two calls. Reads only what the server holds."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from muster.core.ids import split_task_id
from muster.core.status import JobStatus
from muster.store.keys import KEY_KINDS, version_hash

from tests.support.admissions import wrong_admissions
from tests.support.batches import wrong_batches
from tests.support.dump import Dump, Entry
from tests.support.gates import flow_of_task, scan_gates

WORDS = (".start", ".end", ".cancel")
UNPROMPTED = {JobStatus.WAITING_FOR_HUMAN, JobStatus.WAITING}
"""Waits that end by themselves, or by somebody outside."""


def violations(dump: Dump) -> list[str]:
    """Every way in which the keys of one tag (spelled without it) contradict each other."""
    scan = Scan(dump)
    return [
        *scan.unexplained_keys(),
        *scan.jobs_in_the_wrong_place(),
        *scan.stuck_jobs(),
        *scan.deadlines_without_a_timer(),
        *scan.lost_children(),
        *scan.tasks_in_the_wrong_place(),
        *scan.dangling_members(),
        *scan.wrong_versions(),
        *scan.wrong_counts(),
        *scan.wrong_questions(),
        *scan.wrong_lifetimes(),
        *scan_gates(dump),
        *wrong_batches(scan.jobs, dump),
        *wrong_admissions(scan.jobs, dump),
    ]


@dataclass
class Scan:
    dump: Dump

    @cached_property
    def jobs(self) -> dict[str, dict[str, str]]:
        return {job: entry.value for job, entry in self.dump.of("j:")}

    @cached_property
    def tasks(self) -> dict[str, dict[str, str]]:
        return {task: entry.value for task, entry in self.dump.of("t:")}

    @cached_property
    def flows(self) -> dict[tuple[str, str], dict[str, float]]:
        """Ready tasks by class and flow."""
        named = ((name.split("|"), entry.value) for name, entry in self.dump.of("f:"))
        return {(cls, flow): tasks for (cls, flow), tasks in named}

    @cached_property
    def timers(self) -> dict[str, float]:
        return dict(self.dump.value("tm"))

    @cached_property
    def turns(self) -> dict[str, float]:
        first = {job: 0.0 for _, entry in self.dump.of("bq:") for job in entry.value}
        return {**{job: at for job, at in first.items() if self.awaits_first_turn(job)}, **dict(self.dump.value("D"))}

    def awaits_first_turn(self, job: str) -> bool:
        """Of a batch; who was cancelled or deleted meanwhile is passed over when its turn comes."""
        fields = self.jobs.get(job, {})
        return fields.get("fin") == "0" and fields.get("tl") == ""

    @cached_property
    def leases(self) -> dict[str, float]:
        return dict(self.dump.value("L"))

    def is_paused(self, job: str) -> bool:
        return "pz" in self.jobs.get(job, {})

    def is_final(self, job: str) -> bool:
        return self.jobs.get(job, {}).get("fin") == "1"

    def drop_is_due(self, task: str) -> bool:
        parts = split_task_id(task)
        assert parts is not None, task
        drops = (timer.split("|") for timer in self.timers if timer.startswith("d|"))
        return any(job == parts[0] and int(low) <= parts[1] < int(high) for _, job, low, high in drops)

    # I1, I5: a job is decided upon, waits, or is over

    def jobs_in_the_wrong_place(self) -> Iterator[str]:
        for job, fields in self.jobs.items():
            decided_upon = job in self.turns
            if self.is_paused(job) != (fields["st"] == "paused") or self.is_paused(job) != (fields["tl"] == "~paused"):
                yield f"job {job} is {fields['st']}, its turn held by {fields['tl']!r}, its pause {fields.get('pz')!r}"
            elif self.is_paused(job):
                if decided_upon or self.is_final(job):
                    yield f"paused job {job} is decided upon, or over"
            elif self.is_final(job):
                if decided_upon or fields["tl"]:
                    yield f"final job {job} still has a turn"
                if not JobStatus(fields["st"]).is_final:
                    yield f"final job {job} is {fields['st']}"
            elif fields["tl"] and not decided_upon:
                yield f"job {job} has a turn that never ends"
            elif int(fields["need"]) <= 0 and not decided_upon and fields["cx"] != "1":
                yield f"job {job} needs nothing more, yet no turn is due"

    def deadlines_without_a_timer(self) -> Iterator[str]:
        """A live job has its timer until it passed; who was asked for its end may clean up, and does not show it."""
        for job, fields in self.jobs.items():
            timed, may_clean_up = f"e|{job}" in self.timers, int(fields.get("v", "0")) > 1
            if (
                not self.is_final(job)
                and timed != ("dl" in fields)
                and fields["cx"] != "1"
                and (timed or not may_clean_up)
            ):
                yield f"job {job} has a deadline: {'dl' in fields}, and a timer of it: {timed}"

    def stuck_jobs(self) -> Iterator[str]:
        """A waiting job has something to wait for; a paused one waits to be resumed."""
        for job, fields in self.jobs.items():
            if self.is_final(job) or job in self.turns:
                continue
            if self.is_paused(job):
                continue
            if self.live_child(job):
                continue
            if fields["cx"] == "1":
                if f"c|{job}" not in self.timers:
                    yield f"cancelled job {job} has no grace that ends"
                continue
            ours = [t for t in self.tasks if t.startswith(f"{job}.") and self.tasks[t]["wv"] == fields["wv"]]
            timed = f"j|{job}|{fields['wv']}" in self.timers
            if len(ours) < int(fields["need"]) and not timed and fields["st"] not in UNPROMPTED:
                yield f"job {job} needs {fields['need']} results, but {len(ours)} tasks are left"

    def live_child(self, job: str) -> bool:
        """Whether another partition has one, is seen by whoever looks at all of them: `lost_spread_children`."""
        children = children_of(self.jobs[job])
        return any(spread or (child in self.jobs and not self.is_final(child)) for child, spread in children.items())

    def lost_children(self) -> Iterator[str]:
        """No job ends before its child, but that of a race it lost; and each waits for those it started."""
        for job, fields in self.jobs.items():
            if "pa" not in fields or self.is_final(job):
                continue
            parent, wave, *_ = fields["pa"].split("|")
            known = self.jobs.get(parent)
            asked = fields["cx"] == "1" or f"ob:{job}.cancel" in self.dump.entries
            if known is None or wave == "0" or asked:  # deleted; started again by a person; lost a race
                continue
            if known.get("fin") != "0" or known.get("wv") != wave or job not in children_of(known):
                yield f"child {job} runs, and {parent} does not wait for it"

    # I2, I3: a live task is gated, ready or leased, and found there

    def tasks_in_the_wrong_place(self) -> Iterator[str]:
        for task, fields in self.tasks.items():
            job, _, number = task.partition(".")
            places = [
                *("G" for _ in [0] if f"t|{task}" in self.timers),
                *("L" for _ in [0] if task in self.leases),
                *("R" for tasks in self.flows.values() if task in tasks),
                *("P" for _ in [0] if number in self.dump.value(f"pk:{job}") or self.drop_of_parked(task)),
            ]
            if places != [fields["st"]]:
                yield f"task {task} is {fields['st']}, but found in {places}"
            limited = "ce" in fields or ("ss" in fields and fields["st"] in "RP")
            if (f"x|{task}" in self.timers) != (limited and fields["st"] != "L"):
                yield f"task {task} is {fields['st']}, and the timer of its limits is {f'x|{task}' in self.timers}"
            if fields["st"] == "R" and task not in self.flows.get((fields["q"], flow_of_task(fields)), {}):
                yield f"ready task {task} is in another flow than its own"
            if fields["st"] == "R" and "gq" in fields and f"p|{task}" not in self.timers:
                yield f"ready task {task} would wait for ever for whom it prefers"
            listed = number in self.dump.value(f"jt:{job}") or number == self.jobs.get(job, {}).get("cur")
            if not listed and not self.drop_is_due(task):
                yield f"task {task} is not listed by its job"
            if job not in self.jobs:
                yield f"task {task} has no job"
            elif self.is_final(job) and not self.drop_is_due(task):
                yield f"task {task} outlives its job"

    def drop_of_parked(self, task: str) -> bool:
        """A parked task of a job that is over waits for nothing but its end."""
        return self.tasks[task]["st"] == "P" and self.is_final(task.partition(".")[0]) and self.drop_is_due(task)

    def dangling_members(self) -> Iterator[str]:
        yield from (f"lease of {task}, which is none" for task in self.leases if task not in self.tasks)
        yield from (f"turn of {job}, which is none" for job in self.turns if job not in self.jobs)
        for (cls, flow), tasks in self.flows.items():
            yield from (f"ready task {task} is none" for task in tasks if task not in self.tasks)
            if flow not in self.dump.value(f"q:{cls}") and f"{cls}|{flow}" not in self.dump.value("gp"):
                yield f"flow {flow} has ready tasks of {cls}, but nobody would find it"
        for cls, entry in self.dump.of("q:"):
            yield from (f"flow {flow} of {cls} is empty" for flow in entry.value if (cls, flow) not in self.flows)
        for timer in self.timers:
            yield from self._dangling_timer(timer)
        for job, entry in self.dump.of("pk:"):
            parked = (self.tasks.get(f"{job}.{number}", {}).get("st") for number in entry.value)
            yield from (f"job {job} parks a task that is {status}" for status in parked if status != "P")
            if not self.is_paused(job) and f"u|{job}" not in self.timers:
                yield f"job {job} is not paused, and its parked tasks never come back"
        for message, _ in self.dump.of("ob:"):
            if f"o|{message}" not in self.timers:
                yield f"message {message} would never be sent"
        for prefix in ("xr:", "xl:"):
            for index, entry in self.dump.of(prefix):
                yield from (f"{job} is listed as live in {prefix}{index}" for job in entry.value if self._is_over(job))

    def wrong_versions(self) -> Iterator[str]:
        """Every live job is listed under its version, and no other job is."""
        of_versions = {index: set(entry.value) for index, entry in self.dump.of("bj:")}
        for job, fields in self.jobs.items():
            index = version_hash(fields.get("bp", ""), fields.get("bv", ""))
            if not self.is_final(job) and job not in of_versions.get(index, set()):
                yield f"live job {job} is not listed as of version {fields.get('bv')} of {fields.get('bp')}"
            of_versions.get(index, set()).discard(job)
        yield from (f"{job} is listed in bj:{index}" for index, jobs in of_versions.items() for job in jobs)

    def _is_over(self, job: str) -> bool:
        return job not in self.jobs or self.is_final(job)

    def _dangling_timer(self, timer: str) -> Iterator[str]:
        kind, about = timer[:1], timer[2:]
        if kind in "tx" and about not in self.tasks:
            yield f"timer {timer} is of no task"
        if kind == "o" and f"ob:{about}" not in self.dump.entries:
            yield f"timer {timer} sends no message"
        if kind in "jce" and self._is_over(about[:36]):
            yield f"timer {timer} is of no live job"

    def wrong_questions(self) -> Iterator[str]:
        """A job that asks people is listed, and nothing else is; its escalation comes, and no other."""
        listed = [(job, flow) for flow, entry in self.dump.of("xa:") for job in entry.value]
        for job, flow in listed:
            fields = self.jobs.get(job, {})
            if self._is_over(job) or not fields.get("ask") or fields["fl"] != flow:
                yield f"{job} is listed among the open questions of {flow}, and asks nothing there"
        for job, fields in self.jobs.items():
            mark = fields.get("ask", "")
            if mark and (job, fields["fl"]) not in listed:
                yield f"the question of job {job} is not listed"
            if mark and mark not in {"-", f"q|{job}|{fields['wv']}"}:
                yield f"job {job} escalates another question than its own: {mark}"
            if "qs" in fields and not mark:
                yield f"job {job} keeps answers to no question"
            if mark not in {"", "-"} and mark not in self.timers and int(fields["need"]) > 0:
                yield f"the question of job {job} never escalates"
        for timer in self.timers:
            if timer.startswith("q|") and self.jobs.get(timer[2:38], {}).get("ask") != timer:
                yield f"timer {timer} escalates nothing"

    # What is counted twice agrees

    def wrong_counts(self) -> Iterator[str]:
        leased = Counter(task.partition(".")[0] for task in self.leases)
        for job, fields in self.jobs.items():
            if int(fields["nl"]) != leased[job]:
                yield f"job {job} counts {fields['nl']} leases, there are {leased[job]}"
            for number in self.dump.value(f"jt:{job}"):
                if f"{job}.{number}" not in self.tasks:
                    yield f"job {job} lists task {number}, which is none"
        real = Counter(fields["st"] for fields in self.jobs.values())
        counted = {status: int(n) for status, n in self.dump.value("n").items()}
        for status in {*real, *counted}:
            gone_may_be = JobStatus(status).is_final
            if counted.get(status, 0) < real[status] or (counted.get(status, 0) > real[status] and not gone_may_be):
                yield f"{counted.get(status, 0)} jobs are counted as {status}, there are {real[status]}"

    # I8 and the table of keys

    def unexplained_keys(self) -> Iterator[str]:
        for key, entry in self.dump.entries.items():
            kind = kind_of(key)
            if kind is None:
                yield f"no kind of key explains {key}"
            elif kind.type != entry.type:
                yield f"{key} is a {entry.type}, not a {kind.type}"
            elif kind.lifetime == "expires" and entry.ttl_ms is None:
                yield f"{key} never expires"
            elif kind.lifetime == "structure" and entry.ttl_ms is not None:
                yield f"{key} expires"

    def wrong_lifetimes(self) -> Iterator[str]:
        """Nothing of a live job expires, everything of a final one does."""
        for prefix in ("j:", "i:", "e:", "h:", "jt:", "fa:", "lg:", "sp:", "md:", "sb:", "pk:", "en:"):
            for job, entry in self.dump.of(prefix):
                yield from self._wrong_lifetime(prefix, job, entry)
        for prefix in ("t:", "q:", "f:", "ob:", "xr:", "xl:", "bj:", "xa:", "g:", "gf:", "gw:", "go:"):
            for name, entry in self.dump.of(prefix):
                if entry.ttl_ms is not None:
                    yield f"{prefix}{name} expires"

    def _wrong_lifetime(self, prefix: str, job: str, entry: Entry) -> Iterator[str]:
        if job not in self.jobs:
            yield f"{prefix}{job} outlives its job"
        elif self.is_final(job) != (entry.ttl_ms is not None):
            yield (
                f"{prefix}{job} expires" if entry.ttl_ms is not None else f"{prefix}{job} of a final job never expires"
            )


def children_of(fields: dict[str, str]) -> dict[str, bool]:
    """Of a job's fields: the children that it waits for, and whether each is spread."""
    return {name.rstrip("*"): name.endswith("*") for name in fields.get("ch", "").split(",") if name}


def lost_spread_children(dumps: Sequence[Dump]) -> list[str]:
    """Who waits for a spread child will hear of its end: it lives, or its start or its end is on its way."""
    scans = [Scan(dump) for dump in dumps]
    live = {job for scan in scans for job in scan.jobs if not scan.is_final(job)}
    on_the_way = {name.rpartition(".")[0] for dump in dumps for name, _ in dump.of("ob:") if name.endswith(WORDS)}
    return [
        f"job {job} waits for {child}, of which nobody will hear"
        for scan in scans
        for job, fields in scan.jobs.items()
        for child, spread in children_of(fields).items()
        if not scan.is_final(job) and spread and child not in live | on_the_way
    ]


def kind_of(key: str) -> Any:
    """The kind of key that *key* (without its tag) is spelled like, or None."""
    head, colon, _ = key.partition(":")
    for kind in KEY_KINDS:
        kind_head, kind_colon, _ = kind.pattern.partition(":")
        if (head, colon) == (kind_head, kind_colon):
            return kind
    return None
