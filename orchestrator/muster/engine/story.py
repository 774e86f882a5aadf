"""A job's story from a place on: its states, steps, lines and artifacts in one order. Pure: a read goes in.

The store notes after which line a step began, after which one it ended, and after which one an artifact was kept. So
whoever comes late, or goes on where somebody stopped, is told the same in the same order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, TypeAlias

from muster.core.file_record import FileRecord
from muster.core.ids import JobId, task_id
from muster.core.record import JobRecord
from muster.engine.journal import LogEntry, StepView, entries_of, step_view
from muster.engine.live_events import ArtifactKept, JobChanged, JobEnded, LineCame, LinePlace, LiveEvent, StepChanged
from muster.store.journal import AttemptStart, Known, LiveRead, PlacedStep

StepKey: TypeAlias = tuple[int, int]
"""Number of the task, index."""
WITH_A_BEGINNING: Final = frozenset({"completed", "failed"})
"""A step that ends so was running before; a skipped one was not."""
_NOT_YET: Final = {"exit_code": None, "error_message": None, "completed_at": None, "duration_seconds": None}


class PlaceKey(NamedTuple):
    """Followers for whom these are equal are told the same next."""

    line: int
    late: int | None
    revision: int
    steps: int
    artifacts: int


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """How far somebody was told. What follows from the key alone is kept because it costs a read."""

    key: PlaceKey
    open: Mapping[StepKey, PlacedStep] = field(default_factory=dict[StepKey, PlacedStep])
    """Steps whose beginning was told, and whose end was not."""
    ahead: Mapping[StepKey, PlacedStep] = field(default_factory=dict[StepKey, PlacedStep])
    """Steps that are known, and begin after lines that were not told yet."""
    files_ahead: tuple[FileRecord, ...] = ()
    attempts: Mapping[int, AttemptStart] = field(default_factory=dict[int, AttemptStart])
    """Of tasks that began again."""

    @classmethod
    def after(cls, lines: LinePlace) -> "Place":
        """Of somebody who saw these lines and knows nothing else."""
        return cls(PlaceKey(*lines, -1, 0, 0))

    @property
    def lines(self) -> LinePlace:
        return LinePlace(self.key.line, self.key.late)

    @property
    def is_first(self) -> bool:
        return self.key.revision < 0

    @property
    def known(self) -> Known:
        return Known(self.key.line, self.key.steps, self.key.artifacts, self.key.late)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Page:
    """What is told next. Shared by all who stood at the same place, so what is made of it can be shared too."""

    events: tuple[LiveEvent, ...]
    place: Place
    is_last: bool
    """There is no more now."""
    is_end: bool
    """There will be no more."""


class _Mark(NamedTuple):
    """An event and the line after which it stands; the rest orders those of one line."""

    line: int
    kind: int
    number: int
    position: int
    is_end: bool
    event: LiveEvent
    step: PlacedStep | None


def next_page(job: JobId, place: Place, read: LiveRead) -> Page:
    """What *read* has for somebody at *place*."""
    lines = _Lines(job, place.lines, read)
    steps = _Steps(job, place, read, lines)
    files = {record.file.id: record for record in (*place.files_ahead, *read.artifacts)}
    now = [record for record in files.values() if record.line <= lines.position]
    marks = sorted([*steps.marks(), *(_file_mark(job, record, lines.start) for record in now)], key=_order)
    final, is_last = read.record.status.is_final, lines.position >= read.last and not read.has_more_late
    events = [*_beginning(place, read.record), *lines.late(), *lines.notice(), *_merged(job, lines, marks, steps)]
    events += steps.updates()
    if final and is_last:
        events.append(JobEnded(read.record))
    key = PlaceKey(lines.position, read.late_known, read.record.revision, read.newest_step, read.newest_artifact)
    ahead = tuple(record for record in files.values() if record.line > lines.position)
    return Page(tuple(events), Place(key, steps.open, steps.ahead, ahead, steps.attempts), is_last, final and is_last)


def _beginning(place: Place, record: JobRecord) -> Iterator[LiveEvent]:
    changed = record.revision != place.key.revision and not record.status.is_final
    if changed or place.is_first:
        yield JobChanged(record)


def _merged(job: JobId, lines: "_Lines", marks: Sequence[_Mark], steps: "_Steps") -> Iterator[LiveEvent]:
    told, late = 0, lines.late_known
    for entry in lines.entries:
        while told < len(marks) and marks[told].line < entry.seq:
            yield steps.pass_by(marks[told])
            told += 1
        yield LineCame(job, entry, steps.step_of(entry), LinePlace(entry.seq, late))
    for mark in marks[told:]:
        yield steps.pass_by(mark)


def _order(mark: _Mark) -> tuple[int, int, int, int, bool]:
    return mark[:5]


def _file_mark(job: JobId, record: FileRecord, start: int) -> _Mark:
    return _Mark(max(record.line, start), 1, record.created_at, 0, False, ArtifactKept(job, record), None)


class _Lines:
    """The lines of a read after *known*. `start` is where they begin: what is gone is passed over."""

    def __init__(self, job: JobId, known: LinePlace, read: LiveRead) -> None:
        after = known.line
        first = read.chunks[0].first if read.chunks else after + 1
        self.dropped = max(0, first - after - 1)
        self.start = after + self.dropped
        self.entries = [entry for entry in entries_of(job, read.chunks) if entry.seq > after]
        self.position = self.entries[-1].seq if self.entries else self.start
        self.late_known = read.late_known
        self._job = job
        self._known = known
        self._late = read.late
        self._at = read.record.updated_at

    def late(self) -> Iterator[LiveEvent]:
        """Lines that came under numbers that the reader is past; the others are still to come in their places."""
        line, told = self._known
        before = self.late_known - len(self._late)
        missed = 0 if told is None else before - told
        missed += sum(not chunk.lines and chunk.first <= line for chunk in self._late)
        if missed > 0:
            text = f"up to {missed} lines with smaller numbers came in too fast to be told here"
            yield self._notice(LinePlace(line, before), text, missed)
        for count, chunk in enumerate(self._late, before + 1):
            for entry in entries_of(self._job, (chunk,)):
                if entry.seq <= line:
                    yield LineCame(self._job, entry, None, LinePlace(line, count))

    def notice(self) -> Iterator[LiveEvent]:
        if self.dropped:
            text = f"{self.dropped} lines are gone: the log was longer than is kept"
            yield self._notice(LinePlace(self.start, self.late_known), text, self.dropped)

    def _notice(self, place: LinePlace, text: str, dropped: int) -> LineCame:
        return LineCame(self._job, LogEntry(place.line, self._at, "notice", text, "", dropped), None, place)


class _Steps:
    """The steps of a read: what of them is told between its lines, and what after."""

    def __init__(self, job: JobId, place: Place, read: LiveRead, lines: _Lines) -> None:
        self._job = job
        self._lines = lines
        self._told = place.open
        changed = {(step.number, step.index): step for step in read.steps}
        self._changed = changed.keys()
        self.attempts = {**place.attempts, **{start.number: start for start in read.attempts}}
        known = {**place.open, **place.ahead, **changed}
        self._known = {key: step for key, step in known.items() if not self._is_superseded(step)}
        self._views: dict[StepKey, StepView] = {}
        self.open: dict[StepKey, PlacedStep] = {
            key: step for key, step in self._known.items() if self._was_told(key, step)
        }
        self.ahead: dict[StepKey, PlacedStep] = {}
        self._updates: list[StepKey] = []

    def marks(self) -> list[_Mark]:
        """Beginnings and ends among the lines of the read."""
        found: list[_Mark] = []
        start, position = self._lines.start, self._lines.position
        for key, step in self._known.items():
            told = self._was_told(key, step)
            begins = max(step.opened, start)
            if not told and step.opened > position:
                self.ahead[key] = step
            elif step.closed is not None and step.closed <= position:
                if not told and step.closed > begins and self._had_a_beginning(step):
                    found.append(self._begin(begins, step))
                found.append(self._end(max(step.closed, start), step))
            elif not told:
                found.append(self._begin(begins, step))
            elif key in self._changed:
                self._updates.append(key)
        return found

    def updates(self) -> Iterator[LiveEvent]:
        """Of steps that go on, what else changed."""
        for key in sorted(self._updates):
            yield StepChanged(self._job, self._as_then(self._known[key]))

    def pass_by(self, mark: _Mark) -> LiveEvent:
        if mark.step is not None:
            key = (mark.step.number, mark.step.index)
            if mark.is_end:
                self.open.pop(key, None)
            else:
                self.open[key] = mark.step
        return mark.event

    def step_of(self, entry: LogEntry) -> StepView | None:
        """The step of its task that began last and is open."""
        mine = [step for step in self.open.values() if task_id(self._job, step.number) == entry.task_id]
        if not mine:
            return None
        return self._as_then(max(mine, key=lambda step: (step.opened, step.index)))

    def _was_told(self, key: StepKey, step: PlacedStep) -> bool:
        told = self._told.get(key)
        return told is not None and told.attempt == step.attempt

    def _is_superseded(self, step: PlacedStep) -> bool:
        newer = self.attempts.get(step.number)
        return newer is not None and step.attempt < newer.attempt

    def _begin(self, line: int, step: PlacedStep) -> _Mark:
        event = StepChanged(self._job, self._as_then(step))
        return _Mark(line, 0, step.number, step.index, False, event, step)

    def _end(self, line: int, step: PlacedStep) -> _Mark:
        event = StepChanged(self._job, step_view(self._job, step.number, step.index, step.blob))
        return _Mark(line, 0, step.number, step.index, True, event, step)

    def _had_a_beginning(self, step: PlacedStep) -> bool:
        return step_view(self._job, step.number, step.index, step.blob).fields.get("status") in WITH_A_BEGINNING

    def _as_then(self, step: PlacedStep) -> StepView:
        """A step that is over by now as it was while its lines came."""
        key = (step.number, step.index)
        if key not in self._views:
            view = step_view(self._job, step.number, step.index, step.blob)
            if step.closed is not None:
                view = replace(view, fields={**view.fields, "status": "running", **_NOT_YET})
            self._views[key] = view
        return self._views[key]
