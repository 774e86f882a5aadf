"""The test kit: what a test makes, and asks for everything else."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from muster_worker.contracts import TaskContract
from muster_worker.durations import Duration, parse_duration_ms
from muster_worker.time_limits import deadline_ms_of
from muster_worker.worker import Worker
from pydantic_core import to_jsonable_python

from muster.blueprint.builtin import BUILTIN
from muster.blueprint.definition import AnyBlueprint, Blueprint
from muster.blueprint.registry import Registry
from muster.core.connection import Connection, read_connection
from muster.core.ids import UnixMs
from muster.engine.bulk import Line, Loaded
from muster.engine.connection_file import with_planned
from muster.engine.migrations import JOBS_MAX, Order, Page
from muster.engine.views import JobOrder
from muster.errors import MusterError
from muster.store.batch_records import StoredBatch
from muster.testing.admission import debounce_of, unique_of
from muster.testing.answers import Mock, Mocks
from muster.testing.clock import NOON, VirtualClock
from muster.testing.crashes import Crashed, Story, differences, outcome_of, spread
from muster.testing.failures import KitError, closest
from muster.testing.histories import HistoryReplay, recording_of
from muster.testing.jobs import TestJob
from muster.testing.limits import TENANT, LimitSetting
from muster.testing.machine import Machine
from muster.testing.recording import Difference, Recording, Replay, record
from muster.testing.store import Deaths

LIVES_MAX: Final = 200
"""Crashes that a story is put through, where the test does not say how many."""


class TestMuster(LimitSetting):
    """A server in the test: its engine, its store and its workers, on a clock that stands still until it is moved.

    Args:
        blueprints: as `add` takes them.
        start: what the clock shows at first; 2030-01-01 12:00 UTC if not given.
    """

    __test__ = False

    def __init__(self, *blueprints: AnyBlueprint | str | Path, start: datetime = NOON) -> None:
        self._registry = Registry()
        for blueprint in BUILTIN:
            self._registry.add(blueprint)
        self._mocks = Mocks()
        self._clock = VirtualClock(start)
        self._connections: tuple[Connection, ...] = ()
        self._deaths = Deaths()
        self._made: Machine | None = None
        self._jobs: list[TestJob] = []
        self._starts = 0
        self.add(*blueprints)

    # What there is

    def add(self, *blueprints: AnyBlueprint | str | Path) -> Self:
        """Blueprints, or the file, folder or module where they are. Raises BlueprintError with all their problems."""
        for blueprint in blueprints:
            if not isinstance(blueprint, Blueprint):
                self._registry.load(blueprint)
            elif self._registry.get(blueprint.name) is not blueprint:
                self._registry.add(blueprint)
        return self

    def on(self, task: TaskContract[Any, Any] | str, answer: Any = None) -> Mock:
        """Answer *task* from here on.

        *answer* is a value; an error (`Retry("busy")`, `Permanent("declined")`), which is raised; a function of the
        input, or of a `Ctx` and the input; `later("10m", …)`, `hangs` or `lost`; or a list of all these, given one
        after another. Input and output have the types of the contract, which is looked for in the modules of the
        blueprints where only its name is given.
        """
        contract = task if isinstance(task, TaskContract) else None
        mock = Mock(task.name if isinstance(task, TaskContract) else task, contract, answer)
        self._mocks.add(mock)
        return mock

    def use(self, worker: Worker) -> None:
        """Answer all tasks of a real worker by its own handlers. They run here, one after another, in real time."""
        for name, handler in worker.handlers.items():
            self._mocks.add(Mock(name, handler.contract, handler))

    def nobody(self, task: TaskContract[Any, Any] | str) -> None:
        """No worker comes for *task*, and that is no mistake of the test."""
        self._mocks.remove(task.name if isinstance(task, TaskContract) else task)

    def connect(self, connection: Mapping[str, Any]) -> None:
        """A connection as in the server's file, for its schedule. Before the first job."""
        if self._made is not None:
            raise KitError("connections come before the first job, as a server reads its file when it starts")
        self._connections = (*self._connections, read_connection(dict(connection)))

    # Jobs

    async def start(
        self,
        blueprint: AnyBlueprint | str,
        input: Any = None,  # noqa: A002 - the word users know
        *,
        tags: tuple[str, ...] = (),
        deadline: Duration | None = None,
        unique: Mapping[str, Any] | None = None,
        debounce: Mapping[str, Any] | None = None,
    ) -> TestJob:
        """Start a job and let it go as far as it can without time passing.

        *input* is an object or a model; *unique* and *debounce* have the members that `Client.start` takes, and the job
        is the one there was, where there was one. Raises MusterError as the server does: no such blueprint, wrong
        input, a job that has the unique key.
        """
        name = self._name_of(blueprint)
        initial_data = {} if input is None else to_jsonable_python(input)
        self._starts += 1
        key = f"start-{self._starts}"
        deadline_ms = None if deadline is None else deadline_ms_of(deadline)
        order = JobOrder(
            TENANT, name, initial_data, tags=tags, idempotency_key=key, deadline_ms=deadline_ms,
            unique=unique_of(unique), debounce=debounce_of(debounce),
        )  # fmt: skip
        submitted = await self.machine.ask(lambda engine: engine.submit(order))
        job = TestJob(submitted.job_id, self.machine, self._mocks)
        if all(job.id != other.id for other in self._jobs):
            self._jobs.append(job)
        await self.machine.settle()
        return job

    async def run(
        self,
        blueprint: AnyBlueprint | str,
        input: Any = None,  # noqa: A002 - the word users know
        *,
        tags: tuple[str, ...] = (),
        deadline: Duration | None = None,
    ) -> TestJob:
        """Start a job and go on until it is over, and time with it: no sleep, back-off or deadline takes longer.

        A person or a signal that the test does not give comes too late, where there is a deadline.
        Raises Stuck where the job waits for what will never come.
        """
        job = await self.start(blueprint, input, tags=tags, deadline=deadline)
        return await job.ends()

    async def load_batch(
        self,
        blueprint: AnyBlueprint | str,
        inputs: Sequence[Any],
        *,
        batch_id: str = "batch",
        webhook_url: str | None = None,
    ) -> Loaded:
        """Start a job of the blueprint for each of *inputs*, as one batch, and let them go as far as they can.

        What was refused is told, not raised; the same batch again starts nothing twice. The jobs are in `jobs`.
        """
        name = self._name_of(blueprint)
        orders = [JobOrder(TENANT, name, to_jsonable_python(one)) for one in inputs]

        async def lines() -> AsyncIterator[list[Line]]:
            for number, order in enumerate(orders, 1):
                yield [(number, order)]

        loaded = await self.machine.ask(lambda engine: engine.bulk.load(TENANT, batch_id, webhook_url, lines()))
        await self.machine.settle()
        return loaded

    async def batch(self, batch_id: str = "batch") -> StoredBatch | None:
        """How the batch stands: its counts by status, how many live, and when it was over."""
        return await self.machine.ask(lambda engine: engine.bulk.batch(TENANT, batch_id))

    def jobs(self, blueprint: str | None = None) -> tuple[TestJob, ...]:
        """All jobs there are, children and scheduled ones too, oldest first."""
        (part,) = self.machine.state.partitions
        found = [job.id for job in part.jobs.values() if blueprint in (None, job.record.blueprint)]
        return tuple(TestJob(job_id, self.machine, self._mocks) for job_id in found)

    @property
    def started(self) -> tuple[TestJob, ...]:
        """The jobs that the test started, oldest first."""
        return tuple(self._jobs)

    @property
    def writes(self) -> tuple[str, ...]:
        """What the store was asked to write so far."""
        return tuple(self._deaths.writes)

    def calls(self, task: TaskContract[Any, Any] | str) -> list[Any]:
        """The inputs that *task* was given, oldest first. Raises KitError for one that nobody mocks."""
        return self._mocks.get(task.name if isinstance(task, TaskContract) else task).calls

    async def migrate(
        self, blueprint: str, to: str, *, names: Mapping[str, str] | None = None, dry_run: bool = False
    ) -> Page:
        """Move running jobs to version *to* of their blueprint, as `muster blueprint migrate` does.

        *names*: what states are called in the new version. `moved` and `stayed` of the page are by state.
        """
        order = Order(to, names=names or {}, is_dry=dry_run, limit=JOBS_MAX)
        return await self.machine.ask(lambda engine: engine.migrate(blueprint, order))

    async def roll_out(self, blueprint: str, version: str, *, share: int) -> None:
        """Let *share* of a hundred new jobs begin with *version*, the others with what they begin with now.

        As `muster blueprint rollout` does. Raises MusterError as the server: no such version, or none beside it.
        """
        await self.machine.ask(lambda engine: engine.versions.roll_out(blueprint, version, share))

    # Time

    @property
    def now(self) -> datetime:
        return self._clock.now

    async def advance(self, duration: Duration) -> None:
        """Let time pass: `"90s"`, `"2d"`, seconds or a timedelta. What becomes due on the way happens at its time."""
        await self.machine.pass_to(UnixMs(self._clock() + parse_duration_ms(duration)))

    # Crashes

    async def crashes(self, story: Story, *, most: int = LIVES_MAX) -> AsyncGenerator[Crashed, None]:
        """Live *story* once as it is, then once for every write of the store, with a crash before that one.

        Each life has a kit of its own with the blueprints and mocks of this one. Where a replica dies it forgets all
        it knew, another takes over, 20 s later by the clock, and the jobs the story started must come to the same
        end. Yields each life after the story's end. Of more than *most* writes so many are taken, spread evenly.

        Raises:
            KitError: a job came to another end. What the story itself raises has a note that names the crash.
        """
        async with self._again(None) as plain:
            await story(plain)
            expected, writes = outcome_of(plain.started), plain.writes
        for point in spread(len(writes), most):
            async with self._again(point) as kit:
                crashed = Crashed(point + 1, len(writes), writes[point], kit)
                try:
                    await story(kit)
                except Exception as error:
                    error.add_note(f"with {crashed}")
                    raise
                if found := list(differences(expected, outcome_of(kit.started))):
                    raise KitError(f"{crashed} changes how the story ends: {'; '.join(found)}")
                yield crashed

    # Records

    def recording(self, job: TestJob) -> Recording:
        """What a job of this kit decided and was told, as JSON, to be kept in a file and replayed later."""
        return record(job, self.machine)

    async def replay(self, recording: Recording) -> Difference | None:
        """Tell the recorded input, answers, decisions and signals to the blueprints of this kit, in a life of its own.

        Returns the first step that is another one now. Raises KitError where the recording itself cannot be told.
        """
        return await self._replayed(Replay(recording), recording)

    async def replay_history(
        self, job: Mapping[str, Any], history: Sequence[Mapping[str, Any]], *, signals: Mapping[str, Any] | None = None
    ) -> Difference | None:
        """Tell a job of a real server to the blueprints of this kit, in a life of its own.

        *job* and *history* are what `GET /api/v1/jobs/{id}` and `GET /api/v1/jobs/{id}/history` answer. What tasks
        returned is not in them: the mocks of this kit say it, and *signals* what signals carried, by name.
        Returns the first step that is another one now. Raises KitError as `replay`, and for a task without a mock.
        """
        recording = recording_of(job, history, signals or {})
        return await self._replayed(HistoryReplay(recording, self._mocks.fresh()), recording)

    async def _replayed(self, replay: Replay, recording: Recording) -> Difference | None:
        async with self._again(None, replay.mocks) as kit:
            replay.goes_on(kit.machine)
            try:
                job = await kit.start(recording["blueprint"], recording["input"])
            except MusterError as refused:
                raise KitError(f"the recorded job cannot be started any more: {refused}") from refused
            return await replay.play(job)

    def _again(self, point: int | None, mocks: Mocks | None = None) -> "TestMuster":
        kit = TestMuster(start=self._clock.start)
        kit._registry, kit._connections = self._registry, self._connections
        kit._mocks = self._mocks.fresh() if mocks is None else mocks
        kit._deaths = Deaths(point)
        return kit

    # The end

    async def aclose(self) -> None:
        """End it. `async with TestMuster(...) as kit` does so by itself, and so does the fixture."""
        if self._made is not None:
            await self._made.close()

    def close(self) -> None:
        """The same where no event loop runs."""
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self.aclose())
        finally:
            loop.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def machine(self) -> Machine:
        """The engine, its store and its clock, for what is not offered here."""
        if self._made is None:
            connections = with_planned(self._connections, self._registry)
            self._made = Machine(self._registry, self._mocks, self._contract, connections, self._clock, self._deaths)
        return self._made

    def _name_of(self, blueprint: AnyBlueprint | str) -> str:
        if not isinstance(blueprint, str):
            self.add(blueprint)
            return blueprint.name
        if self._registry.get(blueprint) is None:
            known = set(self._registry.names()) - {one.name for one in BUILTIN}
            raise KitError(f"there is no blueprint {blueprint!r}{closest(blueprint, known)}. Say kit.add(blueprint)")
        return blueprint

    def _contract(self, task: str) -> TaskContract[Any, Any]:
        """As a module of the blueprints knows it, else one that takes JSON as it comes."""
        for blueprint in self._registry.all():
            for state in blueprint.states.values():
                for value in getattr(state.function, "__globals__", {}).values():
                    if isinstance(value, TaskContract) and value.name == task:
                        return value
        return TaskContract(task)
