"""A blueprint that is data, read: every state as the one decision it makes. The members of each are in one table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cached_property
from typing import Any, Final

from muster_worker.contracts import TaskContract, task
from muster_worker.durations import Duration

from muster.blueprint.data.templates import Literal, Template
from muster.blueprint.planned import Planned

SCOPE: Final = frozenset({"input", "data", "argument", "results", "job"})
"""What expressions look at: the client's input, what the blueprint keeps, what the state was given, the merged results
of tasks, and the job's `id`, `tenant` and `blueprint`."""
INPUT_ALONE: Final = frozenset({"input"})
"""What the files of a job are told by: there is no job yet."""
ITEM: Final = "item"
"""In the `params` of `map`: the value that the task is for."""


class Kind(Enum):
    """What a member holds."""

    TARGET = auto()
    """The name of a state."""
    TARGETS = auto()
    """Words, each with the name of a state."""
    VALUE = auto()
    OBJECT = auto()
    """A value that is an object."""
    LIST = auto()
    """A value that is a list."""
    TEXT = auto()
    DURATION = auto()
    COUNT = auto()
    """A whole number, 0 or more."""
    WIDTH = auto()
    """A whole number, 1 or more."""
    PRIORITY = auto()
    NUMBER = auto()
    """What a second of a worker's time may cost."""
    KEY = auto()
    """A concurrency key."""
    TAGS = auto()
    NAMES = auto()
    """A list of texts."""
    NEEDS = auto()
    """An object of what `Needs` takes."""
    PREFER = auto()
    """A worker's id, `same`, or an object of what `Prefer` takes."""
    CHOICE = auto()
    """How one of several workers is chosen: a word, or an object of what `Choose` takes."""
    QUORUM = auto()
    """How many people must agree, or for which word how many."""
    ESCALATE = auto()
    """An object with `after` and `to`, or a list of them."""
    FORM = auto()
    """A JSON Schema, without expressions."""
    FORMS = auto()
    """Words, each with a JSON Schema, without expressions."""
    FLAG = auto()
    """`true` or `false`, without expressions."""
    NAME = auto()
    """A text without expressions: what is named can be checked, and drawn."""
    RETRY = auto()
    """A retry policy, without expressions."""
    JOIN = auto()
    """`all`, `any`, `first:2`, `settled` or `settled:3`, without expressions."""
    CALLS = auto()
    """Tasks, as in `together`."""
    BRANCHES = auto()
    """Decisions with conditions, as in `choose`."""
    RACE = auto()
    """Decisions that wait, as in `race`."""
    UNDO = auto()
    """The name of a task, or an object with `run` and what may be said of that task."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One decision: what its own value is, and which members may and which must stand beside it."""

    head: Kind
    members: Mapping[str, Kind] = field(default_factory=dict[str, Kind])
    required: tuple[str, ...] = ()


_ENDS: Final = {"ok": Kind.TARGET, "error": Kind.TARGET, "cancelled": Kind.TARGET}
_LIMITS: Final = {
    "timeout": Kind.DURATION, "retries": Kind.COUNT, "retry": Kind.RETRY, "schedule_to_start": Kind.DURATION,
    "schedule_to_close": Kind.DURATION, "heartbeat": Kind.DURATION,
    "needs": Kind.NEEDS, "max_cost": Kind.NUMBER, "prefer": Kind.PREFER, "choose": Kind.CHOICE,
}  # fmt: skip
_TASK: Final = {"params": Kind.VALUE, "key": Kind.KEY, **_LIMITS}
_FAN: Final = {**_ENDS, "join": Kind.JOIN, "priority": Kind.PRIORITY, "at_once": Kind.WIDTH}
_QUESTION: Final = {
    "choices": Kind.TARGETS, "form": Kind.FORM, "forms": Kind.FORMS, "within": Kind.DURATION, "late": Kind.TARGET,
    "cancelled": Kind.TARGET, "approvers": Kind.LIST, "quorum": Kind.QUORUM, "escalate": Kind.ESCALATE,
}  # fmt: skip
_SIGNAL: Final = {"ok": Kind.TARGET, "within": Kind.DURATION, "late": Kind.TARGET, "uploads": Kind.NAMES}
_CHILD: Final = {"input": Kind.OBJECT, **_ENDS, "tags": Kind.TAGS, "spread": Kind.FLAG, "undo": Kind.UNDO}

VERBS: Final[Mapping[str, Verb]] = {
    "run": Verb(
        Kind.NAME, {**_TASK, **_ENDS, "on": Kind.TARGETS, "priority": Kind.PRIORITY, "undo": Kind.UNDO}, ("ok",)
    ),
    "map": Verb(Kind.NAME, {"over": Kind.LIST, **_TASK, **_FAN, "undo": Kind.UNDO}, ("over", "ok")),
    "together": Verb(Kind.CALLS, _FAN, ("ok",)),
    "race": Verb(Kind.RACE, {"cancelled": Kind.TARGET}),
    "ask": Verb(Kind.TEXT, _QUESTION, ("choices",)),
    "wait_for": Verb(Kind.NAME, _SIGNAL, ("ok",)),
    "sleep": Verb(Kind.DURATION, {"then": Kind.TARGET, "argument": Kind.VALUE}, ("then",)),
    "child": Verb(Kind.NAME, _CHILD, ("ok",)),
    "go": Verb(Kind.TARGET, {"argument": Kind.VALUE}),
    "done": Verb(Kind.VALUE),
    "fail": Verb(Kind.TEXT),
    "quarantine": Verb(Kind.TEXT, {"details": Kind.OBJECT}),
    "choose": Verb(Kind.BRANCHES),
}
CALL: Final = Verb(Kind.NAME, _TASK)
"""One task of `together`."""
BESIDE_CONTRACT: Final = frozenset({"params", "key"})
"""Members of a call that are not of its task, but of this one."""
UNDO: Final = Verb(Kind.NAME, _LIMITS)
"""The task that undoes another: its input is that one's result."""
RACED: Final = ("run", "child", "wait_for", "ask", "sleep")
"""What may be a branch of `race`."""


@dataclass(frozen=True)  # no slots: its contract is made once
class Call:
    task: str
    members: Mapping[str, Template]
    pointer: str

    @cached_property
    def contract(self) -> TaskContract[Any, Any] | None:
        """The task with what is said of it; None where expressions say it. Raises ValueError, TypeError."""
        said = {name: one for name, one in self.members.items() if name not in BESIDE_CONTRACT}
        written = {name: one.value for name, one in said.items() if isinstance(one, Literal)}
        return task(self.task, **written) if len(written) == len(said) else None


@dataclass(frozen=True, slots=True)
class Step:
    """One decision.

    Attributes:
        head: what stands behind the verb: a name, a template, calls, or the decisions of `choose` or `race`.
        members: the templates beside it, by name.
        targets: the states beside it, by name.
        words: states by word: of `choices` or `on`.
        changes: `set`: what becomes of members of `data` first.
        when: of a branch; None: always.
        undo: the task that undoes what is done here.
    """

    verb: str
    pointer: str
    head: "str | Template | tuple[Call, ...] | tuple[Step, ...]"
    members: Mapping[str, Template]
    targets: Mapping[str, str]
    words: Mapping[str, str]
    changes: Mapping[str, Template]
    when: Template | None = None
    undo: Call | None = None

    def pointer_of(self, member: str) -> str:
        return f"{self.pointer}/{member}"

    @property
    def branches(self) -> "tuple[Step, ...]":
        """The decisions it may come to: its own, or those of its branches."""
        return self._inside if self.verb == "choose" else (self,)

    @property
    def raced(self) -> "tuple[Step, ...]":
        """The branches of a race."""
        return self._inside if self.verb == "race" else ()

    @property
    def calls(self) -> tuple[Call, ...]:
        """The tasks of `together`."""
        return tuple(one for one in self.head if isinstance(one, Call)) if isinstance(self.head, tuple) else ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """Types of the tasks that it may hand out."""
        found: list[str] = []
        for step in (one for branch in self.branches for one in (branch, *branch.raced)):
            found += [step.head] if step.verb in {"run", "map"} and isinstance(step.head, str) else []
            found += [call.task for call in step.calls]
        return tuple(found)

    @property
    def undos(self) -> tuple[str, ...]:
        """Types of the tasks that undo what it does."""
        return tuple(dict.fromkeys(branch.undo.task for branch in self.branches if branch.undo is not None))

    @property
    def _inside(self) -> "tuple[Step, ...]":
        return tuple(one for one in self.head if isinstance(one, Step)) if isinstance(self.head, tuple) else ()


@dataclass(frozen=True, slots=True)
class Outline:
    """A blueprint as it was given, checked. `spec` is the whole of it, as JSON."""

    spec: Mapping[str, Any]
    name: str
    version: int
    description: str
    endpoint: str | None
    api_version: str
    input: Mapping[str, Any] | None
    output: Mapping[str, Any] | None
    retention: Duration | None
    deadline: Duration | None
    schedule: Planned | None
    files: Template | None
    data: Mapping[str, Any]
    start: str
    states: Mapping[str, Step]
