"""Replies of the scripts that move a job on, as values."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from muster.core.ids import JobId, TaskId, UnixMs
from muster.core.timeouts import Timeout
from muster.store import codec
from muster.store.admission import Limited, PutOff, Taken
from muster.store.base import (
    Claim,
    Claimed,
    Commit,
    Committed,
    Completed,
    Completion,
    EndedLease,
    LiveTask,
    Refusal,
    Refused,
    Stepped,
    Turn,
)
from muster.store.codec import UNREADABLE

_WHY: Final[Mapping[bytes, Literal["rate", "live", "queued"]]] = {
    b"rate": "rate",
    b"live": "live",
    b"queued": "queued",
}


def turn_of(job: JobId, token: str, header: Sequence[bytes | None], items: Sequence[bytes]) -> Turn | None:
    """None where it cannot be taken now, as what it needs cannot be read: its lease runs out, and it comes again."""
    if UNREADABLE in header or UNREADABLE in items:
        return None
    return Turn(token, codec.load_record(job, header), tuple(codec.load_item(item) for item in items))


def committed_of(commit: Commit, reply: Sequence[Any]) -> Committed | Refused:
    match reply[0]:
        case b"ok":
            return Committed(UnixMs(int(reply[2])), claimed_of(reply[1]))
        case b"again":
            turn = turn_of(commit.job, commit.next_token, reply[3], reply[4])
            return Committed(UnixMs(int(reply[2])), claimed_of(reply[1]), turn)
        case why:
            return Refused(Refusal(why.decode()))


def claimed_of(reply: Sequence[Any]) -> tuple[Claimed, ...]:
    """Without those whose body cannot be read now; see `unreadable_of`."""
    return tuple(
        Claimed(int(s) - 1, TaskId(t.decode()), int(a), body, int(waited), int(left) if left else None)
        for s, t, a, body, waited, left in reply
        if body != UNREADABLE
    )


def unreadable_of(claim: Claim | None, reply: Sequence[Any]) -> list[tuple[TaskId, int, str]]:
    """Task, attempt and fence of what was claimed with a body that cannot be read now."""
    if claim is None:
        return []
    return [
        (TaskId(t.decode()), int(a), claim.seats[int(s) - 1].fence) for s, t, a, body, *_ in reply if body == UNREADABLE
    ]


LIVE_TASK: Final = ("at", "nz", "w", "fx", "ls", "po", "rq", "fc", "ff", "ce")


def live_task_of(fields: Sequence[bytes | None], now_ms: int) -> LiveTask | None:
    """The fields `LIVE_TASK` of a task; None: there is no such task."""
    at, fence, worker, failures, losses, rules, requeues, counts, failed_at, close_at = fields
    if at is None:
        return None
    return LiveTask(
        int(at), (fence or b"").decode(), (worker or b"").decode(), int(failures or 0), int(losses or 0), rules or b"",
        int(requeues or 0), (counts or b"").decode(), now_ms - int(failed_at) if failed_at else 0,
        int(close_at) - now_ms if close_at else None,
    )  # fmt: skip


def ended_lease(fields: Sequence[bytes]) -> EndedLease:
    task, attempt, fence, worker, patient, timeout, losses, failures, rules, ran, counts, failing, left = fields
    return EndedLease(
        TaskId(task.decode()), int(attempt), fence.decode(), worker.decode(), patient == b"1",
        Timeout(timeout.decode()) if timeout else None, int(losses), int(failures), rules, int(ran), counts.decode(),
        int(failing), int(left) if left else None,
    )  # fmt: skip


def completed_of(completion: Completion, reply: Sequence[Any]) -> Completed | Refused:
    match reply[0]:
        case b"turn":
            turn = turn_of(completion.job, completion.token, reply[1], reply[2])
            return Completed(turn=turn, cancelling=reply[3] == b"cancel", ran_ms=int(reply[4]))
        case b"noted":
            return Completed(claimed=claimed_of(reply[1]), cancelling=reply[3] == b"cancel", ran_ms=int(reply[4]))
        case b"retry":
            return Completed(retried=True, ran_ms=int(reply[1]))
        case b"gone":
            return Refused(Refusal.GONE, int(reply[1]))
        case why:
            return Refused(Refusal(why.decode()))


def stepped_of(decided: Commit, reply: Sequence[Any]) -> Stepped:
    committed = committed_of(decided, reply[3])
    assert isinstance(committed, Committed), "the turn was leased by the same call"
    created, started, retries, extra_revisions, cost = reply[2]
    return Stepped(
        committed,
        created_at=UnixMs(int(created)),
        started_at=UnixMs(int(started)) if started else None,
        retries=int(retries),
        revision=decided.version + 1 + int(extra_revisions or 0),
        cost_micros=int(cost or 0),
        ran_ms=int(reply[1]),
    )


def turns_of(turns: Sequence[Any]) -> tuple[Turn, ...]:
    """Those that can be taken now."""
    read = (turn_of(JobId(t[0].decode()), t[1].decode(), t[2], t[3]) for t in turns)
    return tuple(turn for turn in read if turn is not None)


def not_made_of(reply: Sequence[Any]) -> Limited | Taken | PutOff | None:
    """Why submit made no job, or one that begins later; None: it is another reply."""
    match reply[0]:
        case b"limited":
            return Limited(_WHY[reply[1]], int(reply[2]))
        case b"taken":
            return Taken(JobId(reply[1].decode()))
        case b"putoff":
            return PutOff(JobId(reply[1].decode()), reply[2] == b"1")
        case _:
            return None
