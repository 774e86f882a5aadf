"""What `job.ask` says beside its words: who may answer, how many must agree, with which form, and who is asked next."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import orjson
from muster_worker.durations import Duration, parse_duration_ms
from pydantic import TypeAdapter

from muster.core.approvals import EVERY_CHOICE, Escalation, Question
from muster.core.json import JsonObject
from muster.core.limits import APPROVERS_MAX, ESCALATIONS_MAX, FORM_SCHEMA_BYTES_MAX

APPROVER_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class FormSchema:
    """A form that is written as JSON Schema already."""

    schema: JsonObject


Form = type[Any] | Mapping[str, type[Any] | FormSchema]


@dataclass(frozen=True, slots=True)
class Escalate:
    """So long after the question was asked, ask further people; without any, only remind by webhook.

    Attributes:
        after: a duration such as `"1d"`, from the moment of the question.
        to: names of approvers, as in `approvers=`.
    """

    after: Duration
    to: Sequence[str] = ()


def question_of(
    choices: Iterable[str],
    *,
    form: Form | None,
    approvers: Sequence[str] | None,
    quorum: int | Mapping[str, int],
    escalate: Escalate | Sequence[Escalate],
    within_ms: int | None,
) -> Question | None:
    """None where nothing was said. Raises ValueError for what cannot be meant, TypeError for a wrong type."""
    steps = _steps((escalate,) if isinstance(escalate, Escalate) else tuple(escalate), within_ms)
    names = _named(approvers, steps)
    words = tuple(choices)
    needed = _quorums(quorum, words, len(names))
    forms = _forms(form, words)
    if approvers is None and not forms and not steps:
        return None
    return Question(
        tuple(approvers or ()),
        needed if isinstance(needed, int) else 1,
        {} if isinstance(needed, int) else needed,
        forms,
        steps,
    )


def _steps(escalations: tuple[Escalate, ...], within_ms: int | None) -> tuple[Escalation, ...]:
    if len(escalations) > ESCALATIONS_MAX:
        raise ValueError(f"job.ask(escalate=...) has {len(escalations)} steps; {ESCALATIONS_MAX} are possible")
    steps = tuple(Escalation(parse_duration_ms(step.after), _names(step.to)) for step in escalations)
    before = 0
    for step, written in zip(steps, escalations, strict=True):
        if step.after_ms <= before:
            raise ValueError(
                f"job.ask(escalate=...): {written.after!r} does not come after "
                + ("the question itself" if before == 0 else "the step before it")
            )
        if within_ms is not None and step.after_ms >= within_ms:
            raise ValueError(f"job.ask(escalate=...): {written.after!r} is not before the deadline that within= sets")
        before = step.after_ms
    return steps


def _names(given: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        raise TypeError(f"approvers are a list of names, for example [{given!r}]")
    for name in given:
        if not isinstance(name, str) or not 0 < len(name) <= APPROVER_CHARACTERS_MAX or not name.isprintable():
            raise ValueError(
                f"an approver is called by 1 to {APPROVER_CHARACTERS_MAX} printable characters, not {name!r}"
            )
        if name != name.strip():
            raise ValueError(f"approver {name!r} begins or ends with a blank")
    return tuple(given)


def _named(approvers: Sequence[str] | None, steps: tuple[Escalation, ...]) -> tuple[str, ...]:
    further = [name for step in steps for name in step.approvers]
    if approvers is None:
        if further:
            raise ValueError(
                f"job.ask(escalate=...) asks {further[0]!r}, but without approvers=[...] anybody may answer already"
            )
        return ()
    names = (*_names(approvers), *further)
    if not approvers:
        raise ValueError("job.ask(approvers=[]) lets nobody answer; leave it out to let anybody who has the link")
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ValueError(f"approver {twice[0]!r} is named twice; each has one say")
    if len(names) > APPROVERS_MAX:
        raise ValueError(f"job.ask names {len(names)} approvers; {APPROVERS_MAX} are possible")
    return names


def _quorums(quorum: int | Mapping[str, int], words: tuple[str, ...], people: int) -> int | dict[str, int]:
    needed = dict(quorum) if isinstance(quorum, Mapping) else dict.fromkeys(words, quorum)
    for word, number in needed.items():
        if word not in words:
            raise ValueError(
                f"job.ask(quorum={{{word!r}: ...}}): there is no such choice; there are {', '.join(words)}"
            )
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"quorum is how many people must agree, 1 or more, not {number!r}")
        if number > 1 and people == 0:
            raise ValueError(
                f"job.ask(quorum={number}) needs approvers=[...]: without names nobody can tell two people apart"
            )
        if number > max(people, 1):
            raise ValueError(f"job.ask(quorum={number}): only {people} are ever asked, so {word!r} could never win")
    return needed if isinstance(quorum, Mapping) else quorum


def _forms(form: Form | None, words: tuple[str, ...]) -> dict[str, JsonObject]:
    if form is None:
        return {}
    given = dict(form) if isinstance(form, Mapping) else {EVERY_CHOICE: form}
    unknown = [word for word in given if word not in words and word != EVERY_CHOICE]
    if unknown:
        raise ValueError(
            f"job.ask(form={{{unknown[0]!r}: ...}}): there is no such choice; there are {', '.join(words)}"
        )
    forms = {
        word: kind.schema if isinstance(kind, FormSchema) else schema_of(cast("Hashable", kind))
        for word, kind in given.items()
    }
    if len(orjson.dumps(forms)) > FORM_SCHEMA_BYTES_MAX:
        raise ValueError(f"the forms of a question are larger than {FORM_SCHEMA_BYTES_MAX} bytes as JSON Schema")
    return forms


@lru_cache(maxsize=256)
def schema_of(form: Hashable) -> JsonObject:
    """JSON Schema of a form, which is an object. Raises TypeError for another kind of type."""
    try:
        schema = TypeAdapter(cast("Any", form)).json_schema()
    except Exception as error:  # pydantic has many ways to say that a type is none of its own
        raise TypeError(f"form={form!r} is no type that pydantic can read") from error
    described: Any = schema
    reference = schema.get("$ref")
    if isinstance(reference, str):
        described = schema.get("$defs", {}).get(reference.rpartition("/")[2], {})
    if described.get("type") != "object":
        raise TypeError(f"form={form!r} is no object; write a pydantic model")
    return cast("JsonObject", schema)
