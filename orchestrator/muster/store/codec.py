"""Stored bytes to values and back. Fields a reader does not know are kept by never rewriting them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from muster.core.ids import JobId, UnixMs
from muster.core.join import ALL, dump_join, load_join
from muster.core.record import (
    CancelItem,
    ChildItem,
    Context,
    DecisionItem,
    Item,
    JobRecord,
    Parent,
    Pause,
    SignalItem,
    Submission,
    TaskItem,
    TimerItem,
    Wait,
)
from muster.core.status import JobStatus
from muster.store.approval_codec import load_question, load_tally, question_fields
from muster.store.undo_codec import dump_spec, dump_undos, load_spec, load_undo, load_undoing

UNREADABLE: Final = b"\0unreadable"
"""Stands for a large value that cannot be read now."""
_TOLD: Final = {"unreadable": "a large value is not where files lie: do all servers share MUSTER_FILES_DIR?"}


def dump(value: object) -> bytes:
    return orjson.dumps(value)


def dump_submission(submission: Submission) -> bytes:
    more: dict[str, Any] = {"g": submission.tags} if submission.tags else {}
    if submission.retried_from:
        more["rf"] = submission.retried_from
    return dump({"i": submission.initial_data, "w": submission.webhook_url, "t": dict(submission.trace), **more})


def load_submission(blob: bytes) -> Submission:
    if blob == UNREADABLE:
        return Submission(initial_data=dict(_TOLD))
    raw = orjson.loads(blob)
    return Submission(
        initial_data=raw["i"],
        webhook_url=raw["w"],
        trace=raw["t"],
        tags=tuple(raw.get("g", ())),
        retried_from=raw.get("rf", ""),
    )


def dump_context(context: Context) -> bytes:
    return dump(
        {
            "w": None if context.wait is None else _wait_fields(context.wait),
            "a": context.argument,
            "d": context.data,
            "r": context.results,
            "n": context.transitions,
            **dump_undos(context),
            **({"p": context.last_worker} if context.last_worker else {}),
        }
    )


def _wait_fields(wait: Wait) -> dict[str, Any]:
    """Members that few waits have are left out where they say nothing."""
    return {
        **({} if wait.join == ALL else {"o": dump_join(wait.join)}),
        **({} if wait.undo is None else {"x": dump_spec(wait.undo)}),
        **({"p": [_wait_fields(part) for part in wait.parts]} if wait.parts else {}),
        "k": wait.kind,
        "e": dict(wait.edges),
        "f": wait.first,
        "c": wait.count,
        "m": wait.message,
        "d": wait.deadline_at,
        "t": wait.target,
        "a": wait.argument,
        "j": wait.child,
        "s": wait.signal,
        "u": list(wait.uploads),
        "l": wait.left_ms,
        **({} if wait.question is None else {"q": question_fields(wait.question)}),
    }


def load_context(blob: bytes) -> Context:
    if blob == UNREADABLE:
        return Context(results=dict(_TOLD))
    raw = orjson.loads(blob)
    wait = raw["w"]
    return Context(
        wait=None if wait is None else _load_wait(wait),
        argument=raw["a"],
        data=raw["d"],
        results=raw["r"],
        transitions=raw["n"],
        undo=tuple(load_undo(undo) for undo in raw.get("u", ())),
        undoing=load_undoing(raw["v"]) if "v" in raw else None,
        last_worker=raw.get("p", ""),
    )


def _load_wait(raw: Mapping[str, Any]) -> Wait:
    """What an older server stored has fewer members."""
    return Wait(
        raw["k"], raw["e"], raw["f"], raw["c"], raw["m"], raw["d"], raw["t"], raw["a"],
        child=raw.get("j", ""), signal=raw.get("s", ""), uploads=tuple(raw.get("u", ())), left_ms=raw.get("l", 0),
        join=load_join(raw.get("o", "all")),
        undo=load_spec(raw["x"]) if "x" in raw else None,
        parts=tuple(_load_wait(part) for part in raw.get("p", ())),
        question=load_question(raw["q"]) if raw.get("q") else None,
    )  # fmt: skip


def dump_item(item: Item) -> str:
    match item:
        case TaskItem():
            fields = {
                "k": "task",
                "n": item.number,
                "s": item.status,
                "d": item.data,
                "c": item.code,
                "m": item.message,
                "w": item.worker,
                "a": item.attempt,
            }
        case DecisionItem():
            fields = {
                "k": "decision",
                "d": item.decision,
                "b": item.by,
                "m": item.note,
                "f": item.form,
                "a": item.answers,
            }
        case TimerItem():
            fields = {"k": "timer"}
        case ChildItem():
            fields = {"k": "child", "s": item.status, "d": item.result, "c": item.code, "m": item.message}
            fields |= {"j": item.child} if item.child else {}
        case SignalItem():
            fields = {"k": "signal", "n": item.name, "d": item.data}
        case CancelItem():
            fields = {"k": "cancel"}
    return orjson.dumps(fields).decode()


def load_item(blob: bytes) -> Item:
    raw = orjson.loads(blob)
    match raw["k"]:
        case "task":
            return TaskItem(raw["n"], raw["s"], raw["d"], raw["c"], raw["m"], raw["w"], raw["a"])
        case "decision":
            return DecisionItem(raw["d"], raw["b"], raw["m"], raw.get("f"), tuple(raw.get("a", ())))
        case "timer":
            return TimerItem()
        case "child":
            return ChildItem(raw["s"], raw["d"], raw["c"], raw["m"], raw.get("j", ""))
        case "signal":
            return SignalItem(raw["n"], raw["d"])
        case _:
            return CancelItem()


def load_record(job: JobId, header: Sequence[bytes | None], task: Sequence[bytes | None] = ()) -> JobRecord:
    """A record from the fields of `HEADER` in scripts/_queue.lua, in that order."""
    (
        tenant, blueprint, version_of, status, state, version, wave, next_task, submission, context, created, updated,
        started, ended, result, error, details, retries, cancel, failures, spawn_wave, spawned, progress, message, _,
        extra_revisions, parent, cost, pause, deadline, passed, tally, retries_as, fingerprint,
    ) = header  # fmt: skip
    leased = bool(task) and task[0] == b"L"
    return JobRecord(
        id=job,
        tenant=_text(tenant),
        blueprint=_text(blueprint),
        blueprint_version=_text(version_of),
        status=JobStatus(_text(status)),
        state=_text(state),
        version=_int(version),
        revision=_int(version) + _int(extra_revisions),
        wave=_int(wave),
        next_task=_int(next_task),
        submission=load_submission(submission or b""),
        context=load_context(context or b""),
        created_at=UnixMs(_int(created)),
        updated_at=UnixMs(_int(updated)),
        started_at=UnixMs(_int(started)) if started else None,
        finished_at=UnixMs(_int(ended)) if ended else None,
        result=_result(result),
        error=error.decode() if error else None,
        details=orjson.loads(details) if details else None,
        retries=_int(retries),
        cost_micros=_int(cost),
        cancel_requested=cancel == b"1",
        deadline_at=UnixMs(_int(deadline)) if deadline else None,
        deadline_passed=passed == b"1",
        turn_failures=_int(failures),
        spawn_wave=_int(spawn_wave),
        spawned_to=_int(spawned),
        current_worker=_text(task[1]) or None if leased else None,
        progress=float(progress) if progress else None,
        progress_message=message.decode() if message else None,
        parent=load_parent(parent),
        pause=_pause(pause),
        fingerprint=_text(fingerprint),
        retried_as=tuple(_text(retries_as).split(",")) if retries_as else (),
        tally=load_tally(tally, _int(wave)),
    )


def _result(blob: bytes | None) -> Any:
    if not blob:
        return None
    return dict(_TOLD) if blob == UNREADABLE else orjson.loads(blob)


def dump_parent(parent: Parent | None) -> str:
    """As `deliver_end` in scripts/_children.lua reads it."""
    return "" if parent is None else f"{parent.id}|{parent.wave}|{parent.depth}{'|s' if parent.spread else ''}"


def load_parent(stored: bytes | None) -> Parent | None:
    if not stored:
        return None
    job, wave, depth, *spread = stored.decode().split("|")
    return Parent(JobId(job), int(wave), int(depth), spread=bool(spread))


def _pause(stored: bytes | None) -> Pause | None:
    """As `hold` in scripts/_pause.lua spells it."""
    if not stored:
        return None
    at, status, above, words = stored.decode().split("|", 3)
    by, reason = orjson.loads(words)
    return Pause(UnixMs(int(at)), by, reason, JobStatus(status), above)


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode()


def _int(value: bytes | None) -> int:
    return int(value) if value else 0


def text_fields(flat: Sequence[bytes]) -> dict[str, str]:
    """A flat field-value reply as a dict."""
    it = iter(flat)
    return {field.decode(): value.decode() for field, value in zip(it, it, strict=True)}


def text_map(fields: Mapping[str, str]) -> list[str]:
    return [text for pair in fields.items() for text in pair]
