"""What comes back from the world and is handed to the next state: a task's error, a person's answer."""

from dataclasses import dataclass


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
class Decision:
    """A person's answer to `job.ask`. `decision` is the chosen word, or `late` when nobody answered in time."""

    decision: str
    by: str = ""
    note: str = ""
