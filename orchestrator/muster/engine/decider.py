"""Asking the blueprint: the part of a turn that runs the user's code. Writes nothing."""

import traceback
from collections.abc import Callable, Sequence

from muster_worker.needs import InvalidNeeds

from muster.blueprint.facts import JobFacts
from muster.blueprint.problems import BlueprintError, InputInvalid
from muster.blueprint.registry import Registry
from muster.core import decide as core
from muster.core.advance import End, Enter, Move, advance, go
from muster.core.decisions import SUCCESS, Child, WaitFor, children_of
from muster.core.ids import UnixMs
from muster.core.limits import CHILD_DEPTH_MAX, TRANSITIONS_MAX, TURN_HOPS_MAX, TURN_TIMEOUT_MS
from muster.core.record import Item, JobRecord, SignalItem, TaskItem, TimerItem, Wait
from muster.core.status import JobStatus
from muster.core.values import changed
from muster.engine.guard import TooLate, TurnBlocked, TurnGuard, within
from muster.engine.uploads import CheckInputs, not_sent, still_planned
from muster.errors import ErrorCode, MusterError
from muster.store.entered import dump_entered
from muster.store.file_records import FileRecords


class VersionMissing(Exception):
    """This replica does not have the job's blueprint; another may."""


class StateFailed(Exception):
    """A state function raised, hung or returned nonsense. The text is for the job's owner."""

    def __init__(self, message: str, trace: str, code: str = "state_failed") -> None:
        super().__init__(message)
        self.trace = trace
        self.draft: core.Draft | None = None
        """How far the turn was: in the state that failed."""
        self.code = code


class Decider:
    def __init__(
        self,
        blueprints: Registry,
        files: FileRecords,
        check_inputs: CheckInputs,
        now: Callable[[], UnixMs],
        partitions: int = 1,
    ) -> None:
        self._blueprints = blueprints
        self._partitions = partitions
        self._files = files
        self._check_inputs = check_inputs
        self._now = now
        self._guard = TurnGuard()

    def close(self) -> None:
        self._guard.close()

    async def decide(self, record: JobRecord, items: Sequence[Item]) -> core.Rest:
        """Follow the mailbox and the blueprint until the job rests.

        Raises:
            VersionMissing: this replica does not know the blueprint, its version or the state.
            StateFailed: the user's code failed.
        """
        draft = core.begin(record, next((item.worker for item in reversed(items) if isinstance(item, TaskItem)), ""))
        if record.context.wait is not None and record.context.wait.uploads and not record.cancel_requested:
            looked = await self._look_again(draft, record.context.wait, items)
            if isinstance(looked, core.Rest):
                return looked
            items = looked
        try:
            move: Move = advance(record, items)
        except (KeyError, StopIteration, TypeError) as error:
            raise StateFailed(f"the mailbox does not fit what the job waits for: {error!r}", "") from error
        for _ in range(TURN_HOPS_MAX):
            if isinstance(move, Enter) and draft.context.transitions >= TRANSITIONS_MAX:
                text = f"entered {TRANSITIONS_MAX} states without an end: taken for an endless loop"
                move = End(
                    JobStatus.QUARANTINED,
                    draft.state,
                    error=text,
                    details={"code": "too_many_transitions"},
                    put_aside=True,
                )
            if isinstance(move, End):
                return core.finish(draft, self._fitting(record, move))
            draft = _noted(record, core.enter(draft, move))
            try:
                draft, outcome = await self._enter(record, draft)
            except StateFailed as failure:
                failure.draft = draft
                raise
            if isinstance(outcome, core.Rest):
                return outcome
            move = outcome
        return core.finish(draft, self._fitting(record, move)) if isinstance(move, End) else core.save(draft, move)

    def _fitting(self, record: JobRecord, end: End) -> End:
        """*end*, or where its result is not what the blueprint promises, one that puts the job aside."""
        blueprint = self._blueprints.find(record.blueprint, record.blueprint_version)
        if end.status is not JobStatus.FINISHED or blueprint is None:
            return end  # this replica lacks the version: what the job did is worth more than the check
        try:
            blueprint.validate_output(end.result)
        except InputInvalid as error:
            text = f"the result does not fit what blueprint {record.blueprint!r} promises: {error}"
            details = {"code": "invalid_output", "errors": error.errors}
            return End(
                JobStatus.QUARANTINED,
                end.state,
                error=text,
                details=details,
                merge=end.merge,
                undos=end.undos,
                put_aside=True,
            )
        return end

    async def _look_again(self, draft: core.Draft, wait: Wait, items: Sequence[Item]) -> core.Rest | Sequence[Item]:
        """Where a slice of the wait for uploads is over: as if the signal came, or wait on for those still missing."""
        if not items or not isinstance(items[0], TimerItem):
            return items
        missing = await not_sent(self._files, wait.uploads)
        if not missing:
            return (SignalItem(wait.signal, {}),)
        return core.wait_on(draft, wait, missing) if wait.left_ms else items

    async def _enter(self, record: JobRecord, draft: core.Draft) -> tuple[core.Draft, core.Rest | Move]:
        blueprint = self._blueprints.find(record.blueprint, record.blueprint_version)
        if blueprint is None or draft.state not in blueprint.states:
            raise VersionMissing
        facts = JobFacts(
            id=record.id,
            tenant=record.tenant,
            blueprint=record.blueprint,
            input=record.submission.initial_data,
            data=draft.context.data,
            results=draft.context.results,
            partitions=self._partitions,
        )
        try:
            begun = self._guard.begin(blueprint.enter(draft.state, facts, draft.context.argument))
            entered = await within(begun, TURN_TIMEOUT_MS / 1000)
        except TurnBlocked as error:
            raise StateFailed(
                f"state {draft.state!r} blocked the event loop; await instead, or make it a plain function",
                _trace(error),
            ) from error
        except BlueprintError as error:
            raise StateFailed(str(error), "") from error
        except Exception as error:  # a state function may raise anything
            late = isinstance(error, TooLate)
            text = f"did not return within {TURN_TIMEOUT_MS // 1000} s" if late else f"raised {_said(error)}"
            raise StateFailed(f"state {draft.state!r} {text}", _trace(error), _code_of(error)) from error
        now = self._now()
        # `job.data` outlives the state also where the turn goes on to the next one.
        draft = changed(draft, context=changed(draft.context, data=entered.data))
        decision = entered.decision
        if isinstance(decision, WaitFor) and decision.uploads:
            missing = await still_planned(self._files, record.tenant, decision.uploads)
            if not missing:
                return draft, go(draft.state, decision.edges[SUCCESS], {})
            decision = changed(decision, uploads=missing)
        starts = {child.id: await self._start(record, child) for child in children_of(decision)}
        return draft, core.decide(draft, decision, entered.data, now, starts)

    async def _start(self, record: JobRecord, child: Child) -> core.Start:
        """Whether the job may start *child*: the checks of a client's order, which nobody else makes for it."""
        if record.parent is not None and record.parent.depth >= CHILD_DEPTH_MAX:
            text = f"{CHILD_DEPTH_MAX} jobs are above this one: it may start no other"
            return core.ChildRefused("CHILD_TOO_DEEP", text)
        blueprint = self._blueprints.for_job(child.blueprint, child.id)
        if blueprint is None:
            return core.ChildRefused("BLUEPRINT_NOT_FOUND", f"there is no blueprint {child.blueprint!r}")
        try:
            blueprint.validate_input(child.input)
        except InputInvalid as error:
            text = f"the input does not fit blueprint {child.blueprint!r}: {error}"
            return core.ChildRefused("INVALID_INPUT", text)
        try:
            await self._check_inputs(record.tenant, blueprint.files_named(child.input))
        except MusterError as error:
            if error.code is not ErrorCode.FILE_NOT_FOUND:
                raise
            return core.ChildRefused("FILE_NOT_FOUND", error.detail)
        return core.ChildStart(child, blueprint.version, blueprint.graph.start, blueprint.deadline_ms)


def _noted(record: JobRecord, draft: core.Draft) -> core.Draft:
    """What the state is entered with, as it is before its function changes anything."""
    context = draft.context
    try:
        blob = dump_entered(record.version, context.transitions, context.argument, context.data)
    except TypeError:  # a number that JSON does not hold here: the commit says so, where it has to be saved
        return draft
    return changed(draft, entered={**draft.entered, draft.state: blob})


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _code_of(error: Exception) -> str:
    return error.code if isinstance(error, InvalidNeeds) else "state_failed"


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
