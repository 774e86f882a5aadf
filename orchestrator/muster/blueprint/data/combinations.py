"""What no single member of a decision shows: whether those that stand together go together."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from muster_worker.durations import parse_duration_ms
from muster_worker.time_limits import TimeLimits

from muster.blueprint.asking import FormSchema, question_of
from muster.blueprint.asking_read import ASKING_WORDS
from muster.blueprint.data.findings import Findings, below
from muster.blueprint.data.json_schema import JsonSchema
from muster.blueprint.data.kinds import near
from muster.blueprint.data.outline import Step
from muster.blueprint.data.templates import Literal, Template
from muster.blueprint.problems import InputInvalid
from muster.blueprint.specs import check_fan
from muster.core.approvals import EVERY_CHOICE
from muster.core.decisions import CANCELLED, FAILURE, LATE, REQUEUE, SUCCESS, TaskSpec
from muster.core.join import ALL
from muster.core.limits import FAN_WIDTH_MAX, RACE_CHILDREN_MAX

_NO_CHOICE: Final = frozenset({LATE, CANCELLED, EVERY_CHOICE, "within", *ASKING_WORDS})
_NO_OUTCOME: Final = {
    SUCCESS: "write ok: beside run",
    FAILURE: "write error: beside run",
    CANCELLED: "write cancelled: beside run",
    REQUEUE: "a task that a worker puts back has not ended",
}
_LIMITS: Final = ("timeout", "schedule_to_start", "schedule_to_close", "heartbeat")
_OF_ALL: Final = "give it to the race"
_DEADLINE: Final = "write a further branch instead: {sleep: 5m, then: …}"
NOT_RACED: Final[Mapping[str, str]] = {
    "undo": "one that loses may have succeeded unseen: run what must be undone by itself",
    "within": _DEADLINE,
    "late": _DEADLINE,
    "uploads": "wait for uploads by itself",
}
"""Members that no branch of a race has, and what to do instead."""
_AT_MOST: Final = (
    ("sleep", 1, "only the shortest could win"),
    ("ask", 1, "ask one question with all its choices"),
    ("child", RACE_CHILDREN_MAX, "start the others from these"),
)


def check_step(step: Step, found: Findings) -> None:
    """Tell *found* of one decision, as far as it is written down; what expressions say comes with the job."""
    if step.verb in {"ask", "wait_for"}:
        for member in ("late", "uploads"):
            if (member in step.targets or member in step.members) and "within" not in step.members:
                found.add(step.pointer_of(member), f"{member} needs within, a duration such as 2d")
    check_limits(step.members, step.pointer, found)
    match step.verb:
        case "run":
            _check_words(step, "on", _NO_OUTCOME, found)
        case "map" | "together":
            _check_fan(step, found)
        case "ask":
            reasons = dict.fromkeys(_NO_CHOICE, "the word has a meaning of its own; take another one")
            _check_words(step, "choices", reasons, found)
            _check_question(step, found)
        case "race":
            _check_race(step, found)
        case _:
            pass


def check_limits(members: Mapping[str, Template], pointer: str, found: Findings) -> None:
    """Limits of a task's time, against one another."""
    given = {name: one.value if isinstance(one := members.get(name), Literal) else None for name in _LIMITS}
    try:
        TimeLimits.of(**given)
    except ValueError as error:
        found.add(below(pointer, str(error).partition(" ")[0]), str(error))


def check_results(schema: Mapping[str, Any], steps: Iterable[Step], found: Findings) -> None:
    """Results that are written down, against the schema of the blueprint's result."""
    output = JsonSchema(schema)
    for step in (branch for state in steps for branch in state.branches):
        if step.verb != "done" or not isinstance(step.head, Literal):
            continue
        try:
            output.check(step.head.value)
        except InputInvalid as error:
            for one in error.errors:
                place = f"{step.pointer_of('done')}{one['pointer']}"
                found.add(place, f"this does not fit the output: {one['detail']}")


def _check_words(step: Step, member: str, refused: Mapping[str, str], found: Findings) -> None:
    for word in step.words:
        if word in refused:
            found.add(below(step.pointer_of(member), word), f"{word!r} is no word for this", refused[word])


def _check_fan(step: Step, found: Findings) -> None:
    if _is_faulty(step, found):
        return
    join = step.members.get("join", Literal(ALL))
    undo = None if step.undo is None else TaskSpec(step.undo.task, None)
    over = step.members.get("over")
    width = len(step.calls) if step.verb == "together" else FAN_WIDTH_MAX
    if isinstance(over, Literal):
        width = len(over.value)
    try:
        check_fan(width, join.value if isinstance(join, Literal) else ALL, undo)
    except ValueError as error:
        member = "undo" if str(error).startswith("undo") else "join" if "join" in step.members else step.verb
        found.add(step.pointer_of(member), str(error))


def _is_faulty(step: Step, found: Findings) -> bool:
    inside = f"{step.pointer}/"
    return any(problem.pointer == step.pointer or problem.pointer.startswith(inside) for problem in found.problems)


def _check_question(step: Step, found: Findings) -> None:
    """Who may answer, and with which form; each fault at the member that brings it in."""
    if _is_faulty(step, found):
        return
    for word in forms_of(step):
        if word not in step.words and word != EVERY_CHOICE:
            place = below(step.pointer_of("forms"), word)
            found.add(place, f"there is no choice {word[:80]!r}", near(word, step.words) or "name it in `choices`")
            return
    parts: dict[str, object] = {**step.members, "form": Literal(forms_of(step) or None)}
    given: dict[str, Any] = {"form": None, "approvers": None, "escalate": (), "quorum": 1}
    for name in given:
        part = parts.get(name, Literal(given[name]))
        if not isinstance(part, Literal):
            return
        given[name] = part.value
        try:
            question_of(step.words, within_ms=_within_ms(step), **given)
        except (ValueError, TypeError) as error:
            member = "forms" if name == "form" and "form" not in step.members else name
            found.add(step.pointer_of(member), str(error)[:300])
            return


def forms_of(step: Step) -> dict[str, FormSchema]:
    """The forms of a question by choice, `*` that of all."""
    form, forms = step.members.get("form"), step.members.get("forms")
    found: dict[str, FormSchema] = {EVERY_CHOICE: form.value} if isinstance(form, Literal) else {}
    return found | (forms.value if isinstance(forms, Literal) else {})


def _within_ms(step: Step) -> int | None:
    within = step.members.get("within")
    return parse_duration_ms(within.value) if isinstance(within, Literal) else None


def _check_race(step: Step, found: Findings) -> None:
    for branch in step.raced:
        refused = dict(NOT_RACED) | ({CANCELLED: _OF_ALL} if branch.verb == "ask" else {})
        given = {*branch.members, *branch.targets, *(("undo",) if branch.undo else ())}
        for member in sorted(given & refused.keys()):
            found.add(branch.pointer_of(member), f"{branch.verb} has no {member} in a race", refused[member])
    for verb, most, reason in _AT_MOST:
        for branch in [one for one in step.raced if one.verb == verb][most:]:
            found.add(branch.pointer, f"a race has at most {most} of {verb}: {reason}")
    signals: set[object] = set()
    for branch in (one for one in step.raced if one.verb == "wait_for"):
        if branch.head in signals:
            found.add(branch.pointer_of("wait_for"), f"the race waits for the signal {branch.head!r} already")
        signals.add(branch.head)
