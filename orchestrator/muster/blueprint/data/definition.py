"""A blueprint that is data, as every other part of the server sees it: a blueprint."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

import orjson

from muster.blueprint.check import problems_of
from muster.blueprint.conclusions import Decided, Decisions
from muster.blueprint.data.budget import Budget
from muster.blueprint.data.deciding import decide
from muster.blueprint.data.expressions import ExpressionFailed
from muster.blueprint.data.findings import Findings
from muster.blueprint.data.json_schema import JsonSchema
from muster.blueprint.data.kinds import made
from muster.blueprint.data.outline import Kind, Outline, Step
from muster.blueprint.data.reading import read_outline
from muster.blueprint.definition import Blueprint
from muster.blueprint.graphs import HASH_LENGTH
from muster.blueprint.job import Job
from muster.blueprint.problems import BlueprintError, InputInvalid, Problem
from muster.blueprint.reading import GO
from muster.blueprint.state import State, failed, finished
from muster.blueprint.transitions import Transitions
from muster.core.decisions import FAILURE, SUCCESS
from muster.core.decisions import Decision as Next
from muster.core.graph import FAILED, FINISHED, Edge, Graph
from muster.core.json import JsonObject, JsonValue

_LABELS: Final = {"ok": SUCCESS, "error": FAILURE}
_ENDS: Final = {"done": FINISHED, "fail": FAILED}
_RACED: Final = {"sleep": "timer", "ask": "question"}
_ANY_OBJECT: Final[JsonObject] = {"type": "object"}


class DataBlueprint(Blueprint[Any, Any]):
    """Made by `Blueprint.from_dict`. Its version is a number and the start of the hash of all that it says."""

    def __init__(self, outline: Outline, *, file: str, findings: Findings, version: int | None = None) -> None:
        super().__init__(
            outline.name,
            endpoint=outline.endpoint,
            api_version=outline.api_version,
            version=version or outline.version,
            description=outline.description,
            retention=outline.retention,
            deadline=outline.deadline,
            schedule=outline.schedule,
        )
        self.file, self.line = file, findings.line_of("")
        self.outline = outline
        self._findings = findings
        self._input = None if outline.input is None else JsonSchema(outline.input)
        self._output = None if outline.output is None else JsonSchema(outline.output)
        for name, step in outline.states.items():
            state: State[Any] = State(name, self._function(step), self._owner)
            self.written.append(state)
            self._states.setdefault(name, state)
            if name == outline.start:
                self.starts.append(state)

    def to_dict(self) -> dict[str, Any]:
        """What `Blueprint.from_dict` was given."""
        return dict(self.outline.spec)

    @cached_property
    def content_hash(self) -> str:
        """Of what it says, whatever the order of members."""
        return content_hash(self.outline.spec)

    @cached_property
    def transitions(self) -> Mapping[str, Transitions]:
        return {name: _transitions(name, step) for name, step in self.outline.states.items()}

    def conclusions(self, state: str) -> Decisions:
        step = self.outline.states.get(state)
        return None if step is None else tuple(_decided(branch) for branch in step.branches)

    @cached_property
    def graph(self) -> Graph:
        edges = tuple(edge for transitions in self.transitions.values() for edge in transitions.edges)
        version = f"{self.version_number}:{self.content_hash[:HASH_LENGTH]}"
        undos = tuple((name, undo) for name, step in self.outline.states.items() for undo in step.undos)
        return Graph(self.name, version, self.outline.start, tuple(self.outline.states), edges, undos)

    def input_schema(self) -> JsonObject:
        return _ANY_OBJECT if self._input is None else self._input.schema

    def validate_input(self, initial_data: JsonObject) -> None:
        """Raises InputInvalid."""
        if self._input is not None:
            self._input.check(initial_data)

    def files_named(self, initial_data: JsonObject) -> tuple[str, ...]:
        """What the input has not is no file. Raises InputInvalid where the expressions give no texts."""
        if self.outline.files is None:
            return ()
        try:
            told = self.outline.files.render({"input": initial_data}, Budget()) or []
            given = [one for one in told if one is not None] if isinstance(told, list) else told
            return tuple(dict.fromkeys(made(given, Kind.NAMES)))
        except (ExpressionFailed, ValueError) as error:
            raise InputInvalid([{"pointer": "", "detail": f"its files cannot be told: {error}"[:300]}]) from error

    def output_schema(self) -> JsonObject:
        return {} if self._output is None else self._output.schema

    def validate_output(self, result: JsonValue) -> None:
        """Raises InputInvalid."""
        if self._output is not None:
            self._output.check(result)

    def problem(self, state: str, message: str, hint: str = "", line: int = 0) -> Problem:
        pointer = f"/states/{state}" if state in self.outline.states else ""
        return Problem(self.name, self.file, line or self._findings.line_of(pointer), message, hint, pointer or "", 0)

    def _function(self, step: Step) -> Any:
        async def state_function(job: "Job[Any, Any]", argument: Any) -> Next:
            return decide(step, job, argument, self._state_named)

        return state_function

    def _state_named(self, name: str) -> State[Any]:
        return {FINISHED: finished, FAILED: failed}.get(name) or self._states[name]

    def _read_data(self, stored: JsonValue) -> Any:
        return {**self.outline.data, **(super()._read_data(stored) or {})}


def from_dict(
    spec: Any, *, name: str = "", file: str = "", lines: Mapping[str, int] | None = None, version: int | None = None
) -> DataBlueprint:
    """See `Blueprint.from_dict`. *version* stands in for the number in *spec*."""
    outline = read_outline(spec, name=name, file=file, lines=lines)
    findings = Findings(outline.name, file, lines or {})
    blueprint = DataBlueprint(outline, file=file, findings=findings, version=version)
    problems = [_with_pointer(problem) for problem in problems_of(blueprint)]
    if problems:
        raise BlueprintError(problems)
    return blueprint


def content_hash(spec: Mapping[str, Any]) -> str:
    """SHA-256 of *spec* as JSON with its members in order, as 64 hexadecimal digits."""
    return hashlib.sha256(orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _with_pointer(problem: Problem) -> Problem:
    """Checks that all blueprints share know no pointers: where a member is at fault, it is that one."""
    member = next((word for word in ("endpoint", "api_version", "name") if problem.message.startswith(word)), "")
    if problem.pointer or not member:
        return replace(problem, pointer=problem.pointer or ("/name" if "the name " in problem.message else ""))
    return replace(problem, pointer=f"/{member}")


def _transitions(name: str, step: Step) -> Transitions:
    edges = [edge for branch in step.branches for edge in _edges(name, branch)]
    quarantines = any(branch.verb == "quarantine" for branch in step.branches)
    return Transitions(tuple(dict.fromkeys(edges)), (), (), quarantines, step.undos)


def _edges(name: str, step: Step, *, is_raced: bool = False) -> Iterator[Edge]:
    """Labelled as those of a blueprint in Python: a child's with its blueprint, a race's with what is waited for."""
    head = step.head if isinstance(step.head, str) else ""
    if step.verb == "go":
        yield Edge(name, GO, head)
    if step.verb in _ENDS:
        yield Edge(name, step.verb, _ENDS[step.verb])
    for branch in step.raced:
        yield from _edges(name, branch, is_raced=True)
    who = _RACED.get(step.verb, head) if is_raced else head if step.verb == "child" else ""
    for word, target in (*step.targets.items(), *step.words.items()):
        label = _LABELS.get(word, word) if word in step.targets else word
        yield Edge(name, f"{who}: {label}" if who else label, target)


def _decided(step: Step) -> Decided:
    """As `conclusions_of_code` sees a state function."""
    if step.verb in {"ask", "wait_for"}:
        return Decided(may_end="within" in step.members and "late" not in step.targets)
    if step.verb in {"go", "sleep"} or FAILURE in {_LABELS.get(word) for word in step.targets}:
        return Decided()
    return Decided(step.head if step.verb == "child" and isinstance(step.head, str) else "", may_end=True)
