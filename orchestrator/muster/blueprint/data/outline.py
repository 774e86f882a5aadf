"""A blueprint that is data, read: every state as the one decision it makes. The members of each are in one table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from muster.blueprint.data.templates import Template

SCOPE: Final = frozenset({"input", "data", "argument", "results", "job"})
"""What expressions look at: the client's input, what the blueprint keeps, what the state was given, the merged results
of tasks, and the job's `id`, `tenant` and `blueprint`."""
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
    WHOLE = auto()
    """A whole number."""
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


@dataclass(frozen=True, slots=True)
class Verb:
    """One decision: what its own value is, and which members may and which must stand beside it."""

    head: Kind
    members: Mapping[str, Kind] = field(default_factory=dict[str, Kind])
    required: tuple[str, ...] = ()


_ENDS: Final = {"ok": Kind.TARGET, "error": Kind.TARGET, "cancelled": Kind.TARGET}
_TASK: Final = {
    "params": Kind.VALUE, "timeout": Kind.DURATION, "retries": Kind.WHOLE, "retry": Kind.RETRY,
    "schedule_to_start": Kind.DURATION, "schedule_to_close": Kind.DURATION, "heartbeat": Kind.DURATION,
}  # fmt: skip
_FAN: Final = {**_ENDS, "join": Kind.JOIN, "priority": Kind.WHOLE}

VERBS: Final[Mapping[str, Verb]] = {
    "run": Verb(Kind.NAME, {**_TASK, **_ENDS, "on": Kind.TARGETS, "priority": Kind.WHOLE}, ("ok",)),
    "map": Verb(Kind.NAME, {"over": Kind.LIST, **_TASK, **_FAN}, ("over", "ok")),
    "together": Verb(Kind.CALLS, _FAN, ("ok",)),
    "ask": Verb(
        Kind.TEXT,
        {
            "choices": Kind.TARGETS,
            "within": Kind.DURATION,
            "late": Kind.TARGET,
            "cancelled": Kind.TARGET,
            "approvers": Kind.LIST,
            "quorum": Kind.WHOLE,
        },
        ("choices",),
    ),
    "wait_for": Verb(Kind.NAME, {"ok": Kind.TARGET, "within": Kind.DURATION, "late": Kind.TARGET}, ("ok",)),
    "sleep": Verb(Kind.DURATION, {"then": Kind.TARGET, "argument": Kind.VALUE}, ("then",)),
    "child": Verb(Kind.NAME, {"input": Kind.OBJECT, **_ENDS, "tags": Kind.LIST, "spread": Kind.FLAG}, ("ok",)),
    "go": Verb(Kind.TARGET, {"argument": Kind.VALUE}),
    "done": Verb(Kind.VALUE),
    "fail": Verb(Kind.TEXT),
    "quarantine": Verb(Kind.TEXT, {"details": Kind.OBJECT}),
    "choose": Verb(Kind.BRANCHES),
}
CALL: Final = Verb(Kind.NAME, _TASK)
"""One task of `together`."""


@dataclass(frozen=True, slots=True)
class Call:
    task: str
    members: Mapping[str, Template]
    pointer: str


@dataclass(frozen=True, slots=True)
class Step:
    """One decision.

    Attributes:
        head: what stands behind the verb: a name, a template, calls or branches.
        members: the templates beside it, by name.
        targets: the states beside it, by name.
        words: states by word: of `choices` or `on`.
        changes: `set`: what becomes of members of `data` first.
        when: of a branch; None: always.
    """

    verb: str
    pointer: str
    head: "str | Template | tuple[Call, ...] | tuple[Step, ...]"
    members: Mapping[str, Template]
    targets: Mapping[str, str]
    words: Mapping[str, str]
    changes: Mapping[str, Template]
    when: Template | None = None

    def pointer_of(self, member: str) -> str:
        return f"{self.pointer}/{member}"

    @property
    def branches(self) -> "tuple[Step, ...]":
        """The decisions it may come to: its own, or those of its branches."""
        if self.verb != "choose":
            return (self,)
        assert isinstance(self.head, tuple)
        return tuple(branch for branch in self.head if isinstance(branch, Step))

    @property
    def tasks(self) -> tuple[str, ...]:
        """Types of the tasks that it may hand out."""
        found: list[str] = []
        for branch in self.branches:
            if branch.verb in {"run", "map"} and isinstance(branch.head, str):
                found.append(branch.head)
            elif branch.verb == "together" and isinstance(branch.head, tuple):
                found += [call.task for call in branch.head if isinstance(call, Call)]
        return tuple(found)


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
    data: Mapping[str, Any]
    start: str
    states: Mapping[str, Step]
