"""Show a job while it goes on, on stderr: a live line at a terminal, one line per change elsewhere."""

import asyncio
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from muster.cli.exits import CommandFailed, Exit
from muster.cli.output import compact, errors, hint

if TYPE_CHECKING:
    from muster_worker.client import Client, JobState
    from muster_worker.log_stream import JobSteps

ENDED_STEPS: Final = frozenset({"completed", "failed", "skipped"})


class JobView:
    """Draws states as they come."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._begun = time.monotonic()
        self._asked = False
        self._seen = ""
        self._steps_seen: dict[tuple[str, int], str] = {}
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            TimeElapsedColumn(),
            console=errors,
            transient=True,
            disable=not errors.is_terminal,
        )
        self._line: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        self._line = self._progress.add_task("", total=None, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, state: "JobState") -> None:
        assert self._line is not None
        fraction = state.progress
        self._progress.update(
            self._line,
            description=f"{state.blueprint_name}  {state.current_state}  {state.status}",
            total=None if fraction is None else 1.0,
            completed=fraction or 0.0,
            note=state.progress_message or "",
        )
        self._note_change(state)
        self._mention_question(state)

    def show_steps(self, steps: "JobSteps") -> None:
        """Where the steps are: how many are done, and the current one; a line for each that ended."""
        assert self._line is not None
        for step in steps.items:
            place = (step.task_id, step.index)
            if step.status in ENDED_STEPS and self._steps_seen.get(place) != step.status:
                took = "" if step.duration_seconds is None else f"  {step.duration_seconds:.1f}s"
                errors.print(
                    f"         {step.name}  {step.status}{took}  {step.error_message or ''}".rstrip(), markup=False
                )
            self._steps_seen[place] = step.status
        current = [step for step in steps.items if step.status == "running"]
        if current:
            done = sum(step.status == "completed" for step in steps.items)
            note = f"{current[-1].name}  ({done} steps done)"
            self._progress.update(self._line, note=note)

    def _note_change(self, state: "JobState") -> None:
        words = f"{state.current_state:<20} {state.status}"
        if words != self._seen:
            self._seen = words
            errors.print(f"{time.monotonic() - self._begun:6.1f}s  {words}", markup=False)

    def _mention_question(self, state: "JobState") -> None:
        waiting = state.waiting_for
        if state.status != "waiting_for_human" or self._asked or waiting is None:
            return
        self._asked = True
        hint(f"         asks: {compact(waiting.message, width=200)}")
        decisions = "|".join(waiting.decisions)
        hint(f"         muster approve {self._job_id}   muster reject {self._job_id}   (decisions: {decisions})")


async def watch_job(client: "Client", job_id: str, *, timeout_s: float | None) -> "JobState":
    """Show the job until it is final; its last state.

    Raises:
        CommandFailed: it was not final within *timeout_s*.
    """
    last: JobState | None = None
    try:
        async with asyncio.timeout(timeout_s):
            with JobView(job_id) as view:
                async for state in client.watch(job_id):
                    last = state
                    view.show(state)
                    view.show_steps(await client.steps(job_id))
    except TimeoutError:
        raise CommandFailed(
            f"job {job_id} was not final within {timeout_s:g} s",
            way_out=f"muster job watch {job_id}",
            code=Exit.TOO_LATE,
        ) from None
    assert last is not None, "a watch gives at least the final state"
    return last
