"""Who decided a question, and when: of one that is about to be left, or as history tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from muster.core import approvals as core
from muster.core.approvals import Question
from muster.core.events import APPROVAL_RECEIVED
from muster.core.ids import UnixMs
from muster.core.moments import time_text
from muster.core.record import JobRecord
from muster.store.base import RawEvent


@dataclass(frozen=True, slots=True)
class Decided:
    """The answer that decided a question."""

    decision: str
    by: str
    at: UnixMs
    approver: str = ""
    note: str = ""

    def members(self) -> dict[str, Any]:
        return {
            "decision": self.decision, "by": self.by, "approver": self.approver or None, "at": time_text(self.at)
        }  # fmt: skip


def decided_of(record: JobRecord) -> Decided | None:
    """Of the question that the job still stands at, where its last answer decided it."""
    wait, answers = record.asked, record.tally.answers
    if wait is None or not answers:
        return None
    decision = core.outcome(wait.question or Question(), core.choices_of(wait.edges), record.tally)
    last = answers[-1]
    return None if decision is None else Decided(decision, last.who, last.at, last.approver, last.note)


def last_decided(history: Sequence[RawEvent], question: int | None) -> Decided | None:
    """Of the question of that number, or of the newest one. Older servers noted no number: each answer decided."""
    for raw in reversed(history):
        entry = orjson.loads(raw.blob)
        details = entry.get("d") or {}
        if entry["e"] != APPROVAL_RECEIVED or ("question" in details and "decided" not in details):
            continue
        if question is None or details.get("question") == question:
            return Decided(
                details.get("decided", details["decision"]), details.get("by", ""), raw.at,
                details.get("approver", ""), details.get("comment", ""),
            )  # fmt: skip
    return None
