"""Questions and what has happened to them, as stored bytes and back."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from muster.core.approvals import Answer, Delegation, Escalation, Question, Tally
from muster.core.ids import UnixMs


def question_fields(question: Question) -> dict[str, Any]:
    return {
        "a": list(question.approvers),
        "q": question.quorum,
        "n": dict(question.quorums),
        "f": dict(question.forms),
        "e": [[step.after_ms, list(step.approvers), step.due_at] for step in question.escalations],
    }


def load_question(raw: Mapping[str, Any]) -> Question:
    steps = tuple(Escalation(after, tuple(names), UnixMs(due)) for after, names, due in raw["e"])
    return Question(tuple(raw["a"]), raw["q"], raw["n"], raw["f"], steps)


def dump_tally(tally: Tally) -> bytes:
    """Without the times: the script that stores it adds the server's, one for each change."""
    return orjson.dumps(
        {
            "a": [[a.approver, a.decision, a.by, a.note, a.form, a.proof, a.change] for a in tally.answers],
            "d": [[given.approver, given.to, given.change] for given in tally.delegations],
            "e": tally.escalated,
        }
    )


def stored_tally(wave: int, times: Sequence[int], tally: bytes) -> bytes:
    """As scripts/question.lua writes it: `<wave>|<changes>|<ms of each, by commas>|<tally>`."""
    return b"|".join([b"%d|%d" % (wave, len(times)), ",".join(map(str, times)).encode(), tally])


def load_tally(stored: bytes | None, wave: int) -> Tally:
    """That of another wave is over."""
    if not stored:
        return Tally()
    of_wave, changes, times, blob = stored.split(b"|", 3)
    if int(of_wave) != wave:
        return Tally()
    at = [UnixMs(int(time)) for time in times.split(b",")]
    raw = orjson.loads(blob)
    tally = Tally(
        int(changes), tuple(Answer(*given) for given in raw["a"]), tuple(Delegation(*g) for g in raw["d"]), raw["e"]
    )
    return replace(
        tally,
        answers=tuple(replace(answer, at=at[answer.change - 1]) for answer in tally.answers),
        delegations=tuple(replace(given, at=at[given.change - 1]) for given in tally.delegations),
    )
