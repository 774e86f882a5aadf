"""The tables of legal moves as a page: docs/lifecycle.md is this text, and a test says when it is stale."""

from collections.abc import Iterable, Iterator, Mapping

from muster.core.status import JobStatus, TaskStatus
from muster.core.transitions import JOB_MOVES, TASK_MOVES, JobEvent

Arrow = tuple[str, str, str]
"""From, why, to."""

SHARED = (JobEvent.TURN_FAILED, JobEvent.CANCEL_ASKED, JobEvent.PAUSED, JobEvent.RESUMED, JobEvent.RETRIED)
"""What may happen to every live job is told in words."""

TURN = "turn"
"""In the picture, the point that all turns go through."""

_HEAD = """\
# Lifecycle

<!-- Drawn by docs/generate.py from the tables in orchestrator/muster/core/transitions.py. Change those, not this. -->

The tests of `tests/core/test_lifecycle.py` walk every turn a job can take, from a submitted job through every mailbox
and every decision, and compare the moves they saw with the moves listed here: none is missing and none is made up.
Before a turn is committed its move is looked up in the same table.
"""
_JOBS = """
## Jobs

A job rests in a status until something makes a turn due; the turn asks the blueprint and leaves the job in the next
status, with one commit. Not drawn, because every live job shares it: a wish to cancel also makes a turn due, a state
function that keeps failing quarantines its job, and any live job may be paused: no turn is decided then, and when it is
resumed it stands where it stood. A job that ended without a result may be retried: it runs again, from one of its
states.
"""
_TASKS = """
## Tasks

Only `ready`, `gated`, `leased` and `parked` tasks exist in the store; the others are how a task went into its job's
history.
`tests/core/test_task_moves.py` tries every operation on a task in each of them.
"""


def lifecycle_markdown() -> str:
    """The whole page, ending in a newline."""
    jobs = [(before, event, after) for (before, event), ends in JOB_MOVES.items() for after in sorted(ends)]
    tasks = [(before, event, after) for (before, event), ends in TASK_MOVES.items() for after in sorted(ends)]
    parts = [
        _HEAD,
        _JOBS,
        _mermaid(JobStatus.PENDING, _through_the_turn(jobs), [status for status in JobStatus if status.is_final]),
        "\nEvery move, for looking up:\n",
        _table(jobs, list(JobStatus)),
        _TASKS,
        _mermaid(TaskStatus.READY, tasks, _ends(tasks)),
        "\nEvery move, for looking up:\n",
        _table(tasks, list(TaskStatus)),
    ]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _through_the_turn(jobs: Iterable[Arrow]) -> list[Arrow]:
    """Every status into the turn and out of it: the product of the two would be a picture of nothing but lines."""
    shared = {event.value for event in SHARED}
    drawn = [(before, why, after) for before, why, after in jobs if why not in shared]
    into = [(before, why, TURN) for before, why, _ in drawn]
    return list(dict.fromkeys([*into, *((TURN, "", after) for _, _, after in sorted(drawn))]))


def _ends(arrows: Iterable[Arrow]) -> list[str]:
    arrows = list(arrows)
    return sorted({after for _, _, after in arrows} - {before for before, _, _ in arrows})


def _mermaid(start: str, arrows: Iterable[Arrow], ends: Iterable[str]) -> str:
    pairs = _joined(arrows)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {start}"]
    if any(TURN in pair for pair in pairs):
        lines.append(f"    state {TURN} <<choice>>")
    lines += [f"    {before} --> {after}{': ' if why else ''}{why}" for (before, after), why in pairs.items()]
    lines += [f"    {end} --> [*]" for end in ends]
    return "\n".join([*lines, "```"])


def _joined(arrows: Iterable[Arrow]) -> Mapping[tuple[str, str], str]:
    """One line for each pair, in a fixed order."""
    whys: dict[tuple[str, str], list[str]] = {}
    for before, why, after in arrows:
        whys.setdefault((before, after), []).append(why)
    return {pair: ", ".join(words) for pair, words in whys.items()}


def _table(arrows: Iterable[Arrow], order: list[str]) -> str:
    return "\n".join(["| from | why | to |", "|---|---|---|", *_rows(list(arrows), order)])


def _rows(arrows: list[Arrow], order: list[str]) -> Iterator[str]:
    pairs = dict.fromkeys((before, why) for before, why, _ in arrows)
    for before, why in pairs:
        targets = sorted((after for b, w, after in arrows if (b, w) == (before, why)), key=order.index)
        yield f"| `{before}` | {why} | {', '.join(f'`{target}`' for target in targets)} |"
