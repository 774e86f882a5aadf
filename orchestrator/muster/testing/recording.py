"""What a job decided and what it was told, as JSON; and the same told to today's code."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from muster_worker.contracts import TaskContract

from muster.core.events import APPROVAL_REQUESTED, CHILD_STARTED, STATE_ENTERED, TASK_DISPATCHED
from muster.core.ids import JobId, TaskId, split_task_id
from muster.engine.views import HistoryEvent
from muster.errors import MusterError
from muster.testing.answers import Held, Mock, Mocks, Reply, hangs
from muster.testing.crashes import without_ids
from muster.testing.failures import KitError, Stuck
from muster.testing.jobs import DECIDED, TestJob
from muster.testing.machine import Machine

Recording = dict[str, Any]
"""`blueprint`, `input`, `jobs` (the job and those below it, oldest first, each with its `steps` and the answers to its
`tasks` by number) and `acts` (what was told from outside, to which job, after how many steps)."""

END: Final = "ends"


@dataclass(frozen=True, slots=True)
class Difference:
    """The first step, from 1, at which today's code decides otherwise. None: it does nothing, or did nothing."""

    blueprint: str
    step: int
    recorded: Mapping[str, Any] | None
    now: Mapping[str, Any] | None
    reason: str = ""

    def __str__(self) -> str:
        said = f" ({self.reason})" if self.reason else ""
        return f"step {self.step} of {self.blueprint!r} was {self.recorded}, and is now {self.now}{said}"


def record(job: TestJob, machine: Machine) -> Recording:
    family = job.family
    places = {member.id: place for place, member in enumerate(family)}
    return {
        "blueprint": job.blueprint,
        "input": dict(job.record.submission.initial_data),
        "jobs": [
            {"blueprint": member.blueprint, "steps": steps, "tasks": _answers(member.id, machine)}
            for member, steps in zip(family, steps_of(family, machine), strict=True)
        ],
        "acts": [
            {"job": places[act.job], "after": act.after, "verb": act.verb, "arguments": dict(act.arguments)}
            for act in machine.acts
            if act.job in places
        ],
    }


def steps_of(family: Sequence[TestJob], machine: Machine) -> list[list[dict[str, Any]]]:
    """Of each job what it decided, and how it ended. Ids are left out."""
    found = []
    for job in family:
        steps = [_step(event, job, machine) for event in job.history() if event.event_type in DECIDED]
        if job.is_over:
            steps.append({END: str(job.status), "result": job.result, "error": job.error})
        found.append(steps)
    steps_without_ids: list[list[dict[str, Any]]] = without_ids(found)
    return steps_without_ids


def _step(event: HistoryEvent, job: TestJob, machine: Machine) -> dict[str, Any]:
    details: dict[str, Any] = {**event.details}
    kind = event.event_type
    if kind == STATE_ENTERED:
        return {"enters": event.state}
    if kind == TASK_DISPATCHED:
        return _runs(event, details, job, machine)
    if kind == APPROVAL_REQUESTED:
        return {"asks": details["message"], "decisions": details["decisions"]}
    return {"starts": details["blueprint"]} if kind == CHILD_STARTED else {"awaits": details["name"]}


def _runs(event: HistoryEvent, details: dict[str, Any], job: TestJob, machine: Machine) -> dict[str, Any]:
    parts = split_task_id(event.task_id or "")
    assert parts is not None, event
    asked = [machine.asked.get((job.id, parts[1] + n)) for n in range(details.get("count", 1))]
    return {"runs": details["type"], "inputs": [None if one is None else one.params for one in asked]}


def _answers(job: JobId, machine: Machine) -> dict[str, list[Any]]:
    return {
        str(number): [{"held": asdict(reply)} if isinstance(reply, Held) else reply for reply in asked.replies]
        for (asker, number), asked in machine.asked.items()
        if asker == job
    }


class RecordedMock(Mock):
    """Gives each task of each job the answers it was given then. What was not asked then hangs."""

    def __init__(self, name: str, replay: "Replay") -> None:
        super().__init__(name, None, hangs)
        self._replay = replay

    async def reply(self, task: Mapping[str, Any], contract: TaskContract[Any, Any]) -> Reply:
        del contract  # what was sent over the wire then is sent again
        return self._replay.answer(TaskId(task["task_id"]))


class Replay:
    """A machine is made with `mocks`, told by `goes_on`, and the job started on it; then it is played."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._given: dict[tuple[int, int], int] = {}
        self._machine: Machine | None = None
        self.mocks = Mocks()
        for job in recording["jobs"]:
            for step in job["steps"]:
                if "runs" in step:
                    self.mocks.add(RecordedMock(step["runs"], self))

    def answer(self, task: TaskId) -> Reply:
        known = self.recorded(task)
        return hangs if known is None else known

    def fits(self, recorded: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
        """Whether today's step is the recorded one."""
        return recorded == found

    def recorded(self, task: TaskId) -> Reply | None:
        """The answer to the next attempt; None where there was none."""
        parts = split_task_id(task)
        assert parts is not None, task
        job_id, number = parts
        place = self._place_of(job_id)
        jobs = self._recording["jobs"]
        recorded = jobs[place]["tasks"].get(str(number), []) if place < len(jobs) else []
        given = self._given.get((place, number), 0)
        self._given[place, number] = given + 1
        if given >= len(recorded) or recorded[given] is None:
            return None
        held = recorded[given].get("held")
        answer: Reply = recorded[given] if held is None else Held(**held)
        return answer

    def goes_on(self, machine: Machine) -> None:
        """There are no other jobs on it."""
        self._machine = machine

    def _place_of(self, job_id: JobId) -> int:
        assert self._machine is not None, "it goes on no machine yet"
        (part,) = self._machine.state.partitions
        return list(part.jobs).index(job_id)

    async def play(self, job: TestJob) -> Difference | None:
        assert self._machine is not None, "it goes on no machine yet"
        machine, trouble = self._machine, ""
        try:
            for act in self._recording["acts"]:
                await self._act(act, job, machine)
            await self._to_the_end(job, machine)
        except (MusterError, Stuck) as error:
            trouble = str(error)
        return self._difference(job, machine, trouble)

    async def _act(self, act: Mapping[str, Any], job: TestJob, machine: Machine) -> None:
        place, after = int(act["job"]), int(act["after"])

        def is_time() -> bool:
            family = job.family
            member = family[place] if place < len(family) else job
            return member.is_over or (place < len(family) and member.steps >= after)

        await machine.drive(is_time, job.lacks, job.why_stuck)
        if place >= len(job.family):
            return
        member, arguments = job.family[place], act["arguments"]
        if act["verb"] == "decide":
            await member.decide(**arguments)
        elif act["verb"] == "delegate":
            await member.delegate(**arguments)
        elif act["verb"] == "signal":
            await member.signal(**arguments)
        else:
            await member.cancel()

    async def _to_the_end(self, job: TestJob, machine: Machine) -> None:
        recorded = self._recording["jobs"]

        def is_there() -> bool:
            now = steps_of(job.family, machine)
            told = all(len(steps) >= len(then["steps"]) for steps, then in zip(now, recorded, strict=False))
            return job.is_over or (told and len(now) >= len(recorded))

        await machine.drive(is_there, job.lacks, job.why_stuck)

    def _difference(self, job: TestJob, machine: Machine, trouble: str) -> Difference | None:
        now = steps_of(job.family, machine)
        for place, then in enumerate(self._recording["jobs"]):
            steps = now[place] if place < len(now) else []
            for number, recorded in enumerate(then["steps"]):
                found = steps[number] if number < len(steps) else None
                if found is None or not self.fits(recorded, found):
                    return Difference(then["blueprint"], number + 1, recorded, found, trouble)
            is_over = bool(then["steps"]) and END in then["steps"][-1]
            if is_over and len(steps) > len(then["steps"]):
                return Difference(then["blueprint"], len(then["steps"]) + 1, None, steps[len(then["steps"])], trouble)
        if trouble:
            raise KitError(f"the recording cannot be told to today's code: {trouble}")
        return None
