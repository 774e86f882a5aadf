"""What comes back from the world and is handed to the next state: a task's error, a person's answer."""

from dataclasses import dataclass
from typing import Any, Generic, cast

from typing_extensions import TypeVar

FormT = TypeVar("FormT", default=Any)


@dataclass(frozen=True, slots=True)
class TaskError:
    """How a task ended that did not succeed. Goes to the state named by `error`.

    Attributes:
        code: stable word, for example `PERMANENT_ERROR`.
        attempt: number of the last attempt, from 1; 0 where none was made.
        task: which of several tasks it was, from 0.
    """

    code: str
    message: str = ""
    worker: str = ""
    attempt: int = 0
    task: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person answered.

    Attributes:
        by: who gave it.
        decision: the word they chose.
        form: their form, as JSON.
        approver: whose say it was; empty where the question named nobody.
    """

    by: str
    decision: str
    note: str = ""
    form: Any = None
    approver: str = ""


@dataclass(frozen=True)
class Decision(Generic[FormT]):
    """How a question of `job.ask` was decided.

    Attributes:
        decision: the chosen word; `late` where too few answered in time, `split` where no choice could win any more.
        by, note, form: of the answer that decided it. `Decision[Expense]` is one with the form `Expense`.
        answers: all that were given, in order.
    """

    decision: str
    by: str = ""
    note: str = ""
    form: FormT = cast("FormT", None)  # noqa: RUF009 - says nothing but the type
    answers: tuple[Answer, ...] = ()
