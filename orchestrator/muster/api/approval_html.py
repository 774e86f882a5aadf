"""What the page of a question looks like. Everything that comes from outside is escaped here."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from muster.api.form_fields import fields_of, rendered
from muster.core import approvals as core
from muster.core.approvals import Question
from muster.core.decisions import SPLIT
from muster.core.ids import UnixMs
from muster.core.json import JsonObject
from muster.core.record import Wait
from muster.engine.approvals import Look
from muster.engine.past_questions import Decided
from muster.errors import ErrorCode, MusterError

Sent = Mapping[str, list[str]]

STYLE: Final = """
:root { color-scheme: light dark; --line: #8886; --accent: #2456c8; --fault: #b3261e; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.35rem; line-height: 1.35; white-space: pre-wrap; overflow-wrap: anywhere; }
label, small { display: block; } label { font-weight: 600; } small, dt, footer { opacity: .75; }
input:not([type=checkbox]), select, textarea { box-sizing: border-box; width: 100%; font: inherit; padding: .45rem;
  border: 1px solid var(--line); border-radius: .35rem; }
textarea.json { font-family: ui-monospace, monospace; }
button { font: inherit; font-weight: 600; padding: .55rem 1.1rem; margin: .25rem .5rem .25rem 0; cursor: pointer;
  border: 1px solid var(--accent); border-radius: .35rem; background: transparent; color: inherit; }
button:first-of-type { background: var(--accent); color: #fff; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
form, details { border-top: 1px solid var(--line); padding: 1rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dd { margin: 0; overflow-wrap: anywhere; }
.fault { color: var(--fault); display: block; }
@media (prefers-color-scheme: dark) {
  :root { --accent: #6c97ff; --fault: #ff8a80; } button:first-of-type { color: #000; }
}
[role=alert], [role=status] { border: 1px solid var(--line); border-radius: .35rem; padding: .75rem 1rem; }
"""
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
_LINK_IS_BAD: Final = (
    "This link does not lead to a question. It may have been cut off when it was copied, or the job is gone."
)


def page(look: Look, *, sent: Sent | None = None, said: MusterError | None = None) -> str:
    """The question with its form, or how it ended. *said* is why what was *sent* was not taken."""
    if look.wait is None:
        return _whole("Answered" if look.decided else "Closed", "\n".join(_over(look, said)))
    return _whole(look.wait.message, "\n".join(_open(look, look.wait, sent, said)))


def error_page(error: MusterError) -> str:
    text = _LINK_IS_BAD if error.code is ErrorCode.JOB_NOT_FOUND else error.detail
    hint = f"<p>{escape(error.hint)}</p>" if error.hint else ""
    return _whole("This did not work", f'<h1>This did not work</h1>\n<p role="alert">{escape(text)}</p>\n{hint}')


def _whole(title: str, body: str) -> str:
    return _PAGE.format(title=escape(title[:120]), style=STYLE, body=body)


# Over


def _over(look: Look, said: MusterError | None) -> Iterator[str]:
    yield "<h1>This question is closed</h1>"
    if said is not None:
        yield '<p role="alert">Your answer came too late and was not taken.</p>'
    if look.decided is None:
        yield '<p role="status">Nobody answered in time, or the job that asked was cancelled.</p>'
    else:
        yield f'<p role="status">{_how(look.decided)}</p>'
    yield _of_job(look)


def _how(decided: Decided) -> str:
    who = f" by <b>{escape(decided.by)}</b>" if decided.by else ""
    word = "was decided with no winner: its approvers disagree" if decided.decision == SPLIT else "was answered"
    chosen = "" if decided.decision == SPLIT else f" <b>{escape(decided.decision)}</b>"
    note = f" They wrote: {escape(decided.note)}" if decided.note else ""
    return f"It {word}{chosen}{who} at {_time(decided.at)}.{note}"


def _of_job(look: Look) -> str:
    return f"<footer><small>Job {escape(look.record.id)} of {escape(look.record.blueprint)}</small></footer>"


# Open


def _open(look: Look, wait: Wait, sent: Sent | None, said: MusterError | None) -> Iterator[str]:
    question, tally = wait.question or Question(), look.record.tally
    yield f"<h1>{escape(wait.message)}</h1>"
    if said is not None:
        yield f'<p role="alert">{escape(said.detail)}</p>'
    yield _facts(look, wait, question)
    mine = tally.answer_of(look.approver) if look.approver else None
    handed = tally.delegation_of(look.approver) if look.approver else None
    if mine is not None:
        yield f'<p role="status">You answered <b>{escape(mine.decision)}</b> at {_time(mine.at)}. Thank you.</p>'
    elif handed is not None:
        yield f'<p role="status">You handed your say to <b>{escape(handed.to)}</b> at {_time(handed.at)}.</p>'
    else:
        yield from _forms(look, wait, question, sent, said)
        if question.approvers:
            yield _delegation(look, question)
    yield _of_job(look)


def _facts(look: Look, wait: Wait, question: Question) -> str:
    tally = look.record.tally
    rows: list[tuple[str, str]] = []
    if look.approver:
        rows.append(("You answer as", f"<b>{escape(look.approver)}</b>"))
    if wait.deadline_at is not None:
        rows.append(("Until", _time(wait.deadline_at)))
    if question.approvers:
        needed = ", ".join(f"{escape(word)}: {question.needs(word)}" for word in core.choices_of(wait.edges))
        still = escape(", ".join(core.missing(question, tally))) or "nobody"
        rows += [("Answers needed", needed), ("Still to answer", still)]
    rows += [
        (escape(answer.who), f"<b>{escape(answer.decision)}</b> at {_time(answer.at)} {escape(answer.note)}")
        for answer in tally.answers
    ]
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows) + "</dl>" if rows else ""


def _forms(look: Look, wait: Wait, question: Question, sent: Sent | None, said: MusterError | None) -> Iterator[str]:
    """One form for all choices that ask for the same."""
    groups: list[tuple[JsonObject | None, list[str]]] = []
    for choice in core.choices_of(wait.edges):
        schema = question.form_of(choice)
        known = next((words for other, words in groups if other == schema), None)
        if known is None:
            groups.append((schema, [choice]))
        else:
            known.append(choice)
    for number, (schema, choices) in enumerate(groups):
        ours = sent if sent is not None and (sent.get("decision") or [""])[0] in choices else None
        yield _form(look, question, schema, choices, ours, _faults(said) if ours is not None else {}, f"g{number}")


def _form(
    look: Look,
    question: Question,
    schema: JsonObject | None,
    choices: list[str],
    sent: Sent | None,
    faults: Mapping[str, str],
    id_: str,
) -> str:
    fields = "" if schema is None else rendered(fields_of(schema), sent, faults, id_)
    note = "" if sent is None else (sent.get("note") or [""])[0]
    buttons = "".join(
        f'<button name="decision" value="{escape(choice)}">{escape(choice.replace("_", " ").capitalize())}</button>'
        for choice in choices
    )
    return (
        f'<form method="post">{_speaker(look, question, sent, id_)}{fields}'
        f'<p><label for="{id_}-note">Note <i>(optional)</i></label>'
        f'<textarea id="{id_}-note" name="note" rows="2" maxlength="2000">\n{escape(note)}</textarea></p>'
        f"<p>{buttons}</p></form>"
    )


def _speaker(look: Look, question: Question, sent: Sent | None, id_: str) -> str:
    """Who answers, where the link does not say it: that is what they claim, then."""
    if look.approver and not look.approver.startswith("group:"):
        return ""
    before = "" if sent is None else (sent.get("by") or [""])[0]
    whose = _whose(look, question, id_) if question.approvers and not look.approver else ""
    return (
        f'{whose}<p><label for="{id_}-by">Your name</label>'
        f'<input id="{id_}-by" name="by" maxlength="200" autocomplete="name" value="{escape(before)}"></p>'
    )


def _whose(look: Look, question: Question, id_: str) -> str:
    names = "".join(f"<option>{escape(name)}</option>" for name in core.missing(question, look.record.tally))
    return (
        f'<p><label for="{id_}-who">You answer for</label><select id="{id_}-who" name="approver">{names}</select></p>'
    )


def _delegation(look: Look, question: Question) -> str:
    whose = "" if look.approver else _whose(look, question, "d")
    return (
        '<details><summary>Let somebody else answer</summary><form method="post">'
        f"{whose}"
        '<p><label for="d-to">Your say goes to</label><input id="d-to" name="to" required maxlength="200">'
        "<small>They answer with a link of their own, which the owner of the job gets for them. "
        "Yours does not count any more.</small></p>"
        '<p><button name="delegate" value="yes">Hand over</button></p></form></details>'
    )


def _faults(said: MusterError | None) -> dict[str, str]:
    """What is wrong with which field."""
    found: Any = [] if said is None else said.extra.get("errors", [])
    faults: dict[str, str] = {}
    for fault in found:
        name = fault["pointer"].split("/")[1:2]
        if name:
            faults.setdefault(name[0].replace("~1", "/").replace("~0", "~"), fault["detail"])
    return faults


def _time(moment: UnixMs) -> str:
    at = datetime.fromtimestamp(moment / 1000, UTC)
    return f'<time datetime="{at.isoformat(timespec="seconds")}">{at:%Y-%m-%d %H:%M} UTC</time>'
