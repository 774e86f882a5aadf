"""Why a job is not running now: its reasons, in order, from facts that somebody gathered. Reads no store, no clock."""

from typing import Final

from muster.core.approvals import Answer, Question, choices_of, missing
from muster.core.ids import UnixMs
from muster.core.json import JsonObject, JsonValue
from muster.core.moments import time_text
from muster.core.record import Wait
from muster.core.status import JobStatus
from muster.engine.question_view import escalates_at
from muster.engine.reasons import ChildFacts, Code, Facts, Reason, span
from muster.engine.why_tasks import task_reasons
from muster.store.standing import Standing

_ENDS: Final = {
    JobStatus.FINISHED: (Code.FINISHED, "it has finished"),
    JobStatus.FAILED: (Code.FAILED, "it has failed"),
    JobStatus.CANCELLED: (Code.CANCELLED, "it was cancelled"),
    JobStatus.QUARANTINED: (Code.QUARANTINED, "it was put aside: its blueprint cannot go on"),
}


def reasons_of(facts: Facts) -> tuple[Reason, ...]:
    """At least one; what must change first comes first."""
    standing = facts.standing
    if standing.record.status.is_final:
        return (_end(standing),)
    if standing.record.pause is not None:
        return (_paused(standing), *_wait(facts))
    found = [
        *_cancel(facts),
        *([_turn(facts, standing.turn_at)] if standing.turn_at is not None else _wait(facts)),
    ]
    if found:
        return (*found, *_deadline(standing))
    return (Reason(Code.MOVING, "it was between two steps when this server looked: ask again"),)


def _end(standing: Standing) -> Reason:
    record = standing.record
    code, text = _ENDS[record.status]
    details: JsonObject = {"state": record.state}
    if record.error:
        text = f"{text}: {record.error}"
        details = {**details, "error": record.error, "error_code": (record.details or {}).get("code")}
    return Reason(code, text, since=record.finished_at, details=details)


def _paused(standing: Standing) -> Reason:
    record, pause = standing.record, standing.record.pause
    assert pause is not None
    what = f"job {pause.above}, which waits for it" if pause.above else "it"
    text = f"{pause.by} paused {what}" + (f": {pause.reason}" if pause.reason else "")
    job = pause.above or record.id
    details: JsonObject = {
        "by": pause.by,
        "reason": pause.reason,
        "status": pause.status.value,
        "by_job": pause.above or None,
        "resume": f"POST /api/v1/jobs/{job}/resume",
        "command": f"muster job resume {job}",
    }
    return Reason(Code.PAUSED, text, since=pause.at, details=details)


def _deadline(standing: Standing) -> list[Reason]:
    at = standing.record.deadline_at
    if at is None or standing.record.cancel_requested:
        return []
    if at <= standing.now:
        text = f"its deadline passed {span(standing.now - at)} ago, and no server has noticed: the engine is behind"
    else:
        text = f"it has {span(at - standing.now)} left: where it has not ended then, it is stopped and has failed"
    return [Reason(Code.DEADLINE, text, until=at, details={"left_ms": at - standing.now})]


def _cancel(facts: Facts) -> list[Reason]:
    standing = facts.standing
    if not standing.record.cancel_requested:
        return []
    wait, until = standing.record.context.wait, standing.grace_until
    text = "its deadline passed" if standing.record.deadline_passed else "its end was asked for"
    if wait is not None and wait.children:
        text += f", and job {' and job '.join(wait.children)} that it started must end first"
    elif until is not None:
        text += f": its workers have {span(until - standing.now)} left to stop, then it ends without them"
    return [Reason(Code.CANCEL_ASKED, text, since=facts.cancel_asked_at, until=until)]


# Whose move it is


def _turn(facts: Facts, at: UnixMs) -> Reason:
    """Its next step is due, or somebody is at it."""
    standing = facts.standing
    record, now = standing.record, standing.now
    waits = at > now
    if standing.turn_held and waits:
        text = f"a server decides what comes after state {record.state!r}"
        return Reason(Code.TURN_RUNNING, text, until=at, details={"failures": record.turn_failures})
    until = at if waits else None
    if not facts.has_blueprint:
        return _version_missing(facts, until)
    if waits and record.turn_failures:
        text = f"state {record.state!r} failed {record.turn_failures} times; tried again in {span(at - now)}"
        return Reason(Code.TURN_FAILED, text, until=until, details={"failures": record.turn_failures})
    if waits and record.wave == 0:  # also after it moved to another version
        text = f"it waits for {span(at - now)} for a further submit with its debounce key, which would put it off"
        return Reason(Code.DEBOUNCED, text, since=record.created_at, until=until)
    if waits:
        text = f"its next step was put off by a server without its blueprint; tried again in {span(at - now)}"
        return Reason(Code.TURN_DUE, text, until=until)
    text = f"its next step has been due for {span(now - at)}, and no server has taken it: the engine is behind"
    return Reason(Code.TURN_DUE, text, since=at, details={"late_ms": now - at})


def _version_missing(facts: Facts, until: UnixMs | None) -> Reason:
    record = facts.standing.record
    here = f"there are {', '.join(facts.versions)}" if facts.versions else "there is none of that name"
    return Reason(
        Code.VERSION_MISSING,
        f"its next step is due, and this server does not have blueprint {record.blueprint!r} in version "
        f"{record.blueprint_version}: here {here}",
        since=record.updated_at,
        until=until,
        details={
            "blueprint": record.blueprint,
            "version": record.blueprint_version,
            "versions_here": list(facts.versions),
        },
    )


# What it waits for


def _wait(facts: Facts) -> list[Reason]:
    wait = facts.standing.record.context.wait
    if wait is None:
        return []
    match wait.kind:
        case "human":
            return [_person(facts, wait)]
        case "timer":
            return [_timer(facts, wait)]
        case "signal":
            return [_uploads(facts, wait) if wait.uploads else _signal(facts, wait)]
        case "child":
            return [_child(facts, wait)]
        case "task" | "tasks":
            return [*_undoing(facts), *task_reasons(facts)]
        case "race":
            return [*task_reasons(facts), *(reason for part in wait.parts for reason in _branch(facts, part))]


def _branch(facts: Facts, part: Wait) -> list[Reason]:
    match part.kind:
        case "signal":
            return [_signal(facts, part)]
        case "timer":
            return [_timer(facts, part)]
        case "child":
            return [_child(facts, part)]
        case "human":
            return [_person(facts, part)]
        case _:
            return []


def _undoing(facts: Facts) -> list[Reason]:
    """It has failed or was cancelled; what the reason says is followed by that of the task that undoes."""
    record = facts.standing.record
    doing = record.context.undoing
    if doing is None:
        return []
    left = len(record.context.undo)
    text = f"it undoes what it did before it ends as {doing.status.value} ({doing.error})"
    text += f": {doing.current.task.type!r} is next"
    text += f", and {left} more after it" if left else ""
    details: JsonObject = {
        "ends_as": doing.status.value,
        "error": doing.error,
        "undone": len(doing.undone),
        "left": left + 1,
        "task_type": doing.current.task.type,
    }
    return [Reason(Code.UNDOING, text, since=record.updated_at, details=details)]


def _person(facts: Facts, wait: Wait) -> Reason:
    standing = facts.standing
    job, until = standing.record.id, standing.timer_at
    decisions = sorted(choices_of(wait.edges))
    text = f"it waits for a person to answer {wait.message!r} with {' or '.join(decisions)}" + _left(standing, until)
    more_text, more = _say(standing, wait.question or Question())
    details: JsonObject = {
        "message": wait.message,
        "decisions": list[JsonValue](decisions),
        "answer": f"POST /api/v1/jobs/{job}/decision",
        "command": f"muster approve {job}",
        **more,
    }
    return Reason(Code.PERSON, text + more_text, since=standing.record.updated_at, until=until, details=details)


def _say(standing: Standing, question: Question) -> tuple[str, JsonObject]:
    """Who has answered, who has not, and when others are asked."""
    tally, words = standing.record.tally, ""
    left, following = missing(question, tally), escalates_at(question, tally)
    if tally.answers:
        words += f"; answered: {', '.join(map(_given, tally.answers))}"
    if left:
        words += f"; missing: {', '.join(left)}"
    if following is not None:
        asked = ", ".join(question.escalations[tally.escalated].approvers) or "nobody new, a reminder"
        words += f"; escalates in {span(following - standing.now)}: {asked}"
    details: JsonObject = {
        "answers": [
            {"approver": given.approver, "by": given.who, "decision": given.decision, "at": time_text(given.at)}
            for given in tally.answers
        ],
        "missing": list[JsonValue](left),
        "escalates_at": time_text(following),
    }
    return words, details if question.approvers or question.escalations else {}


def _given(answer: Answer) -> str:
    """Whose say it was, and who gave it where that was somebody else."""
    approver = answer.approver or answer.who
    return f"{approver} {answer.decision}" + (f" (by {answer.who})" if answer.who != approver else "")


def _timer(facts: Facts, wait: Wait) -> Reason:
    standing = facts.standing
    until = standing.timer_at
    text = f"it sleeps before state {wait.target!r}" + _left(standing, until, "for {} more")
    return Reason(Code.TIMER, text, since=standing.record.updated_at, until=until, details={"then": wait.target})


def _signal(facts: Facts, wait: Wait) -> Reason:
    standing = facts.standing
    job, until, kept = standing.record.id, standing.timer_at, facts.kept_signals
    text = f"it waits for the signal {wait.signal!r}" + _left(standing, until)
    if kept:
        text += f"; it keeps {len(kept)} of other names: {', '.join(sorted(set(kept)))}"
    details: JsonObject = {
        "signal": wait.signal,
        "kept": list[JsonValue](kept),
        "send": f"POST /api/v1/jobs/{job}/signals/{wait.signal}",
        "command": f"muster job signal {job} {wait.signal}",
    }
    return Reason(Code.SIGNAL, text, since=standing.record.updated_at, until=until, details=details)


def _uploads(facts: Facts, wait: Wait) -> Reason:
    """The wait is cut into slices; what comes after this one counts too."""
    standing = facts.standing
    until = None if standing.timer_at is None else UnixMs(standing.timer_at + wait.left_ms)
    missing = facts.missing_uploads
    text = f"it waits for {len(missing)} files that were not sent yet: {', '.join(missing)}"
    if not missing:
        text = "all files that it waited for are there, and no server has taken its next step"
    return Reason(
        Code.UPLOADS,
        text + _left(standing, until),
        until=until,
        details={"missing": list[JsonValue](missing), "waited_for": list[JsonValue](wait.uploads)},
    )


def _child(facts: Facts, wait: Wait) -> Reason:
    known = next((child for child in facts.children if child.id == wait.child), ChildFacts(wait.child))
    text = f"it waits for the end of job {wait.child} that it started"
    details: JsonObject = {"child_id": wait.child}
    if known.facts is not None:
        record = known.facts.standing.record
        text += f", blueprint {record.blueprint!r}, which is {record.status.value}"
        details = {**details, "blueprint": record.blueprint, "status": record.status.value, "state": record.state}
    elif known.unsent is not None:
        text += f"; its start has not been delivered to its partition yet, tried {known.unsent} times"
        details = {**details, "start_tries": known.unsent}
    elif known.gone:
        text += ", which is not there any more: its end is on its way, or was lost; a cancel ends the wait"
        details = {**details, "gone": True}
    below = () if known.facts is None else reasons_of(known.facts)
    return Reason(Code.CHILD, text, since=facts.standing.record.updated_at, details=details, reasons=below)


def _left(standing: Standing, until: UnixMs | None, words: str = "for at most {} more") -> str:
    if until is None:
        return ""
    if until <= standing.now:
        return f"; its time was over {span(standing.now - until)} ago, and no server has noticed: the engine is behind"
    return " " + words.format(span(until - standing.now))
