"""A job as a test sees it: what it is now, and what can be done to it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from pydantic_core import to_jsonable_python

from muster.core.approvals import Question, choices_of, missing
from muster.core.events import APPROVAL_REQUESTED, CHILD_STARTED, SIGNAL_AWAITED, STATE_ENTERED, TASK_DISPATCHED
from muster.core.ids import JobId, UnixMs
from muster.core.json import JsonObject, JsonValue
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine.approvals import Caller, Given
from muster.engine.history import history_event
from muster.engine.question_view import escalates_at
from muster.engine.retrying import RetryOrder
from muster.engine.views import HistoryEvent
from muster.store.memory.model import Job as StoredJob
from muster.testing.answers import Mocks
from muster.testing.failures import KitError, closest
from muster.testing.machine import Act, Machine, type_of

DECIDED: Final = frozenset({STATE_ENTERED, TASK_DISPATCHED, APPROVAL_REQUESTED, CHILD_STARTED, SIGNAL_AWAITED})


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a job waits for. Members that do not belong to its kind are empty.

    Attributes:
        kind: `task`, `tasks`, `human`, `timer`, `child` or `signal`.
        message, decisions: of the question to people.
        missing: approvers who have not answered, where the question names any.
        answers: what was answered so far, by who gave it.
        escalates_at: when others are asked.
        signal: its name.
        tasks: types of the tasks that no worker has taken yet.
        child: the job that was started; those of a race, separated by commas.
        deadline_at: when it goes on all the same.
    """

    kind: str
    message: str = ""
    decisions: tuple[str, ...] = ()
    signal: str = ""
    tasks: tuple[str, ...] = ()
    child: str = ""
    deadline_at: datetime | None = None
    missing: tuple[str, ...] = ()
    answers: Mapping[str, str] = field(default_factory=dict[str, str])
    escalates_at: datetime | None = None


class TestJob:
    """Its properties are what the store says at this moment."""

    __test__ = False

    def __init__(self, job_id: JobId, machine: Machine, mocks: Mocks) -> None:
        self.id = job_id
        self._machine = machine
        self._mocks = mocks

    def __repr__(self) -> str:
        return f"<job {self.record.blueprint!r} {self.status} in state {self.state!r}>"

    # What it is

    @property
    def _stored(self) -> StoredJob:
        (part,) = self._machine.state.partitions
        found = part.job(self.id)
        if found is None:
            raise KitError(f"job {self.id} was deleted")
        return found

    @property
    def record(self) -> JobRecord:
        """Everything that is known of it."""
        return self._stored.record

    @property
    def blueprint(self) -> str:
        return self.record.blueprint

    @property
    def status(self) -> JobStatus:
        return self.record.status

    @property
    def state(self) -> str:
        return self.record.state

    @property
    def result(self) -> JsonValue:
        return self.record.result

    @property
    def error(self) -> str | None:
        return self.record.error

    @property
    def error_details(self) -> JsonObject | None:
        return self.record.details

    @property
    def data(self) -> Any:
        """What the blueprint keeps between states."""
        return self.record.context.data

    @property
    def is_over(self) -> bool:
        return self.status.is_final

    @property
    def path(self) -> tuple[str, ...]:
        """The states it has entered, in order."""
        return tuple(event.state for event in self.history() if event.event_type == STATE_ENTERED and event.state)

    def history(self) -> tuple[HistoryEvent, ...]:
        return tuple(history_event(self.id, number, raw) for number, raw in enumerate(self._stored.history))

    @property
    def children(self) -> "tuple[TestJob, ...]":
        """The jobs it started, oldest first."""
        (part,) = self._machine.state.partitions
        found = [job.id for job in part.jobs.values() if job.record.parent_id == self.id]
        return tuple(TestJob(job_id, self._machine, self._mocks) for job_id in found)

    @property
    def family(self) -> "tuple[TestJob, ...]":
        """The job and all below it, oldest first."""
        (part,) = self._machine.state.partitions
        found = [self.id]
        for job in part.jobs.values():  # in the order in which they were made
            if job.record.parent_id in found:
                found.append(job.id)
        return tuple(TestJob(job_id, self._machine, self._mocks) for job_id in found)

    @property
    def steps(self) -> int:
        """How many events its history has of what it decided."""
        return sum(event.event_type in DECIDED for event in self.history())

    @property
    def waiting_for(self) -> Waiting | None:
        """None while it runs, and once it is over."""
        wait = self.record.context.wait
        if wait is None or self.is_over:
            return None
        asked, tally = wait.asked, self.record.tally
        question = Question() if asked is None else asked.question or Question()
        return Waiting(
            wait.kind,
            "" if asked is None else asked.message,
            () if asked is None else tuple(sorted(choices_of(asked.edges))),
            ",".join(wait.signals),
            self._waiting_tasks(),
            ",".join(wait.children),
            _moment(wait.deadline_at),
            missing(question, tally),
            {answer.who: answer.decision for answer in tally.answers},
            _moment(escalates_at(question, tally)),
        )

    def _waiting_tasks(self) -> tuple[str, ...]:
        return tuple(type_of(task) for task in self._machine.waiting_tasks() if task.job == self.id)

    # What can be done

    async def ends(self) -> "TestJob":
        """Go on until it is over, and time with it. Raises Stuck where it waits for what nobody gives it."""
        await self._machine.drive(lambda: self.is_over, self.lacks, self.why_stuck)
        return self

    async def reaches(self, state: str) -> "TestJob":
        """Go on until it waits in *state*, or passes through it from now on, and time with it.

        Raises:
            Stuck: where it waits for something else that nobody gives it.
            KitError: where it ended without.
        """
        passed = 0 if self.state != state else len(self.path)

        def is_there() -> bool:
            return self.state == state or state in self.path[passed:] or self.is_over

        await self._machine.drive(is_there, self.lacks, self.why_stuck)
        if self.state != state and state not in self.path[passed:]:
            said = f": {self.error}" if self.error else ""
            raise KitError(
                f"{self._named} did not come to state {state!r}, it is {self.status}{said}; "
                f"it went through {' > '.join(self.path)}"
            )
        return self

    async def decide(
        self, decision: str, *, by: str = "", note: str = "", form: Any = None, approver: str = ""
    ) -> None:
        """A person's answer; *form* is an object or a model.

        Where the question names approvers *by* is one of them, or gives the say of *approver*.

        Raises MusterError as the server does: not waiting, no such decision, a form that does not fit, no approver,
        answered already.
        """
        written = None if form is None else to_jsonable_python(form)
        await self._machine.settle()
        act = self._act("decide", decision=decision, by=by, note=note, form=written, approver=approver)
        given, caller = Given(decision, by, note, written, approver), Caller(tenant=self.record.tenant)
        await self._machine.ask(lambda engine: engine.approvals.decide(self.id, given, caller))
        self._machine.acts.append(act)
        await self._machine.settle()

    async def approve(self, *, by: str = "", note: str = "", form: Any = None, approver: str = "") -> None:
        """Answer `approved`."""
        await self.decide("approved", by=by, note=note, form=form, approver=approver)

    async def reject(self, *, by: str = "", note: str = "", form: Any = None, approver: str = "") -> None:
        """Answer `rejected`."""
        await self.decide("rejected", by=by, note=note, form=form, approver=approver)

    async def delegate(self, approver: str, to: str, *, note: str = "") -> None:
        """*approver* hands their say to somebody who has none. Raises MusterError as the server does."""
        await self._machine.settle()
        act = self._act("delegate", approver=approver, to=to, note=note)
        caller = Caller(tenant=self.record.tenant)
        await self._machine.ask(lambda engine: engine.approvals.delegate(self.id, approver, to, note, caller))
        self._machine.acts.append(act)
        await self._machine.settle()

    async def signal(self, name: str, data: Any = None) -> None:
        """Give it a signal; *data* is an object or a model. One it does not wait for yet is kept."""
        body: Mapping[str, Any] = {} if data is None else to_jsonable_python(data)
        await self._machine.settle()
        act = self._act("signal", name=name, data=body)
        await self._machine.ask(lambda engine: engine.signal(self.record.tenant, self.id, name, dict(body)))
        self._machine.acts.append(act)
        await self._machine.settle()

    async def cancel(self) -> None:
        """Ask for its end. Raises MusterError where it is over."""
        await self._machine.settle()
        act = self._act("cancel")
        await self._machine.ask(lambda engine: engine.cancel(self.record.tenant, self.id))
        self._machine.acts.append(act)
        await self._machine.settle()

    async def pause(self, reason: str = "", *, by: str = "test") -> None:
        """Hold it, and the jobs below it that it waits for. Raises MusterError where it is over or being cancelled."""
        await self._machine.settle()
        tenant = self.record.tenant
        await self._machine.ask(lambda engine: engine.operations.pausing.pause(tenant, self.id, by=by, reason=reason))
        await self._machine.settle()

    async def resume(self, *, by: str = "test") -> None:
        """Let go of it. Raises MusterError where it is not paused."""
        await self._machine.settle()
        await self._machine.ask(lambda engine: engine.operations.pausing.resume(self.record.tenant, self.id, by=by))
        await self._machine.settle()

    async def retry(self, order: RetryOrder | None = None) -> "TestJob":
        """Start it again, now that it is over. Returns the job that runs then: itself, or with `new` another."""
        await self._machine.settle()
        tenant = self.record.tenant
        record = await self._machine.ask(
            lambda engine: engine.operations.retrying.retry(tenant, self.id, order or RetryOrder(by="test"))
        )
        await self._machine.settle()
        return TestJob(record.id, self._machine, self._mocks)

    def _act(self, verb: str, **arguments: Any) -> Act:
        return Act(self.id, self.steps, verb, arguments)

    # What it lacks

    @property
    def _named(self) -> str:
        return f"job {self.blueprint!r}"

    def lacks(self) -> str | None:
        """A task that nobody mocks, here or below."""
        for task in self._waiting_tasks():
            if task not in self._mocks.names and task not in self._mocks.nobody:
                return (
                    f"{self._named} waits in state {self.state!r} for task {task!r}, which nobody mocks"
                    f"{closest(task, self._mocks.names)}. Say kit.on({task!r}, answer), kit.use(worker), or "
                    f"kit.nobody({task!r}) if no worker is to come"
                )
        return next((lack for child in self.children if (lack := child.lacks()) is not None), None)

    def why_stuck(self) -> str:
        """Why nothing happens to it any more, and what to write in the test."""
        return f"{self._named} in state {self.state!r} waits for ever: {'; '.join(self._reasons())}"

    def _reasons(self) -> Iterator[str]:
        waiting = self.waiting_for
        if self.record.pause is not None:
            yield "it is paused; await job.resume()"
        elif waiting is None:
            yield f"it is {self.status} and nothing is due"
        elif waiting.decisions:
            words = " or ".join(f"job.decide({word!r})" for word in waiting.decisions)
            yield f"a person is asked {waiting.message!r}; await {words}"
        elif waiting.kind == "signal":
            yield f"for signal {waiting.signal!r}; await job.signal({waiting.signal!r}, {{…}})"
        else:
            below = [child for child in self.children if child.id in waiting.child.split(",")]
            yield from (child.why_stuck() for child in below)
            tasks = ", ".join(waiting.tasks)
            if tasks or not below:
                yield f"nobody is to work on {tasks}" if tasks else f"for a {waiting.kind}, and nothing is due"


def _moment(at: UnixMs | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at / 1000, UTC)
