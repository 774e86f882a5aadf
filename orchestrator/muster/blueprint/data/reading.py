"""Reads a blueprint that is data, and finds everything that is wrong with it at once."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from muster_worker.durations import Duration
from muster_worker.time_limits import deadline_ms_of

from muster.blueprint.asking import FormSchema
from muster.blueprint.data.combinations import check_limits, check_results, check_step
from muster.blueprint.data.findings import Findings, below
from muster.blueprint.data.json_schema import check_schema
from muster.blueprint.data.kinds import HINTS, MEMBERS, STATIC, made, misfit, named, near
from muster.blueprint.data.outline import (
    CALL,
    INPUT_ALONE,
    ITEM,
    RACED,
    SCOPE,
    UNDO,
    VERBS,
    Call,
    Kind,
    Outline,
    Step,
    Verb,
)
from muster.blueprint.data.planning import read_schedule
from muster.blueprint.data.templates import Literal, Template, template_of
from muster.blueprint.definition import retention_ms_of
from muster.blueprint.problems import BlueprintError
from muster.core.graph import BUILT_IN_STATES
from muster.core.ids import is_signal_name
from muster.core.json import JsonObject
from muster.core.limits import RACE_MAX

SPEC_BYTES_MAX: Final = 262_144
"""As JSON. Every version is kept in the store's memory, and in that of every replica."""
STATES_MAX: Final = 500
NAME_CHARACTERS_MAX: Final = 256
_MEMBERS: Final = frozenset(
    {
        "name", "version", "description", "endpoint", "api_version", "input", "output", "retention", "deadline",
        "schedule", "files", "data", "start", "states",
    }
)  # fmt: skip


def read_outline(spec: Any, *, name: str = "", file: str = "", lines: Mapping[str, int] | None = None) -> Outline:
    """*name* is the blueprint's where *spec* does not say. Raises BlueprintError with all problems."""
    found = Findings(_told_name(spec, name), file, lines or {})
    outline = _Reader(found).outline(spec, name)
    if found.problems or outline is None:
        raise BlueprintError(found.problems)
    return outline


def _told_name(spec: Any, name: str) -> str:
    given = spec.get("name") if isinstance(spec, dict) else None
    return name or (given[:NAME_CHARACTERS_MAX] if isinstance(given, str) else "")


class _Reader:
    def __init__(self, found: Findings) -> None:
        self._found = found
        self._targets: list[tuple[str, str]] = []
        """Names of states that are gone to, with their places."""

    def outline(self, spec: Any, name: str) -> Outline | None:
        if not isinstance(spec, dict):
            self._found.add("", "a blueprint is an object with `start` and `states`")
            return None
        try:
            size = len(orjson.dumps(spec))
        except TypeError as error:
            self._found.add("", f"this is not JSON: {error}")
            return None
        if size > SPEC_BYTES_MAX:
            self._found.add("", f"{size} bytes as JSON; at most {SPEC_BYTES_MAX} are taken", "make several blueprints")
            return None
        self._unknown(spec, _MEMBERS, "")
        takes = spec.get("input")
        if "input" in spec and not check_schema(takes, "/input", self._found, what="the input of a job"):
            takes = None
        states = self._states(spec)
        if "output" in spec and check_schema(
            spec["output"], "/output", self._found, what="the result of a job", is_object=False
        ):
            check_results(spec["output"], states.values(), self._found)
        return Outline(
            spec=_with_name(spec, name),
            name=self._name(spec, name),
            version=self._version(spec),
            description=self._word(spec, "description") or "",
            endpoint=self._word(spec, "endpoint"),
            api_version=self._word(spec, "api_version") or "v1",
            input=spec.get("input"),
            output=spec.get("output"),
            retention=self._time(spec, "retention", retention_ms_of),
            deadline=self._time(spec, "deadline", deadline_ms_of),
            schedule=read_schedule(spec["schedule"], takes, self._found) if "schedule" in spec else None,
            files=self._template(spec["files"], Kind.NAMES, "/files", INPUT_ALONE) if "files" in spec else None,
            data=self._object(spec, "data"),
            start=self._start(spec, states),
            states=states,
        )

    def _name(self, spec: JsonObject, name: str) -> str:
        given = self._word(spec, "name")
        if not given and not name:
            self._found.add("", "the blueprint has no `name`")
        elif given and name and given != name:
            self._found.add("/name", f"the name is {given[:80]!r} here, and {name[:80]!r} where it is to be saved")
        return name or given or ""

    def _version(self, spec: JsonObject) -> int:
        version = spec.get("version", 1)
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            self._found.add("/version", f"a version is a whole number from 1 on, not {version!r}")
            return 1
        return version

    def _word(self, spec: JsonObject, member: str) -> str | None:
        value = spec.get(member)
        if value is not None and not isinstance(value, str):
            self._found.add(f"/{member}", f"{member} is a text, not {named(value)}")
            return None
        return value

    def _time(self, spec: JsonObject, member: str, checked: Callable[[Duration], int]) -> Duration | None:
        value: Any = spec.get(member)
        try:
            if value is not None:
                checked(value)
        except (ValueError, TypeError) as error:
            self._found.add(f"/{member}", str(error)[:300], "write a duration such as 12h or 30d")
            return None
        said: Duration | None = value
        return said

    def _object(self, spec: JsonObject, member: str) -> Mapping[str, Any]:
        value = spec.get(member)
        if value is not None and not isinstance(value, dict):
            self._found.add(f"/{member}", f"{member} is an object, not {named(value)}")
            return {}
        return value or {}

    def _start(self, spec: JsonObject, states: Mapping[str, Step]) -> str:
        start = spec.get("start")
        if not isinstance(start, str) or not start:
            self._found.add("/start", "no state is the start", "write start: and the name of the first state")
            return ""
        if start not in states:
            self._found.add("/start", f"the start {start!r} is no state", near(start, list(states)))
        return start

    def _states(self, spec: JsonObject) -> dict[str, Step]:
        given = spec.get("states")
        if not isinstance(given, dict) or not given:
            self._found.add("/states", "a blueprint has states", "write states: with one member for each")
            return {}
        if len(given) > STATES_MAX:
            self._found.add("/states", f"{len(given)} states; at most {STATES_MAX} are taken")
            return {}
        steps = {name: self._step(body, below("/states", name), is_branch=False) for name, body in given.items()}
        self._check_targets(set(given))
        return {name: step for name, step in steps.items() if step is not None}

    def _check_targets(self, states: set[str]) -> None:
        for pointer, target in self._targets:
            if target not in states and target not in BUILT_IN_STATES:
                hint = near(target, [*states, *BUILT_IN_STATES])
                self._found.add(pointer, f"there is no state {target[:80]!r}", hint)

    # One decision

    def _step(self, body: Any, pointer: str, *, is_branch: bool) -> Step | None:
        if not isinstance(body, dict):
            self._found.add(pointer, f"a state is an object with one decision, not {named(body)}", _DECISIONS)
            return None
        verbs = _verbs(body)
        if len(verbs) != 1:
            said = f"has {len(verbs)} decisions: {', '.join(verbs)}" if verbs else "has no decision"
            self._found.add(pointer, f"the state {said}", _DECISIONS)
            if not verbs:
                self._unknown(body, {*VERBS, "set", "when"}, pointer)
            return None
        if is_branch and verbs[0] == "choose":
            self._found.add(below(pointer, "choose"), "a branch has no branches of its own", "go to a state that has")
            return None
        return self._decision(body, verbs[0], pointer, {"set", "when"} if is_branch else {"set"})

    def _decision(self, body: JsonObject, name: str, pointer: str, beside: Set[str]) -> Step:
        """*beside*: members that any decision may have at this place."""
        verb = VERBS[name]
        self._unknown(body, {*verb.members, name, *beside}, pointer)
        self._required(body, verb, name, pointer)
        head = self._head(body[name], name, verb.head, below(pointer, name))
        found = self._members(body, verb, name, pointer)
        when = self._condition(body["when"], below(pointer, "when")) if {"when"} <= beside and "when" in body else None
        changes = self._changes(body, pointer) if "set" in beside else {}
        step = Step(name, pointer, head, found.templates, found.targets, found.words, changes, when, found.undo)
        check_step(step, self._found)
        return step

    def _head(self, value: Any, name: str, kind: Kind, pointer: str) -> Any:
        match kind:
            case Kind.BRANCHES:
                return self._branches(value, pointer)
            case Kind.RACE:
                return self._race(value, pointer)
            case Kind.CALLS:
                return self._calls(value, pointer)
            case Kind.NAME | Kind.TARGET:
                return self._name_of(value, name, kind, pointer)
            case _:
                return self._template(value, kind, pointer, SCOPE)

    def _members(self, body: JsonObject, verb: Verb, name: str, pointer: str) -> "_Beside":
        found = _Beside()
        for member, kind in verb.members.items():
            if member not in body:
                continue
            value, place = body[member], below(pointer, member)
            match kind:
                case Kind.TARGET:
                    found.targets[member] = self._name_of(value, member, kind, place)
                case Kind.TARGETS:
                    found.words = self._words(value, place)
                case Kind.UNDO:
                    found.undo = self._undo(value, place)
                case Kind.FORM:
                    found.templates[member] = self._form(value, place)
                case Kind.FORMS:
                    found.templates[member] = self._forms(value, place)
                case _ if kind in STATIC:
                    found.templates[member] = self._made(value, kind, place)
                case _:
                    scope = SCOPE | {ITEM} if name == "map" and member in {"params", "key"} else SCOPE
                    found.templates[member] = self._template(value, kind, place, scope)
        return found

    def _undo(self, value: Any, pointer: str) -> Call | None:
        if isinstance(value, str):
            return Call(self._name_of(value, "undo", Kind.NAME, pointer), {}, pointer)
        if not isinstance(value, dict) or "run" not in value:
            hint = "write undo: refund, or undo: {run: refund, retries: 10}"
            self._found.add(pointer, f"undo is the name of a task, or an object with `run`, not {named(value)}", hint)
            return None
        return self._call(value, UNDO, pointer)

    def _form(self, value: Any, pointer: str) -> Literal:
        fits = check_schema(value, pointer, self._found, what="a form")
        return Literal(FormSchema(value if fits else {}))

    def _forms(self, value: Any, pointer: str) -> Literal:
        if not isinstance(value, dict) or not value:
            self._found.add(pointer, f"forms is an object of choices, each with a JSON Schema, not {named(value)}")
            return Literal({})
        return Literal({word: self._form(form, below(pointer, word)).value for word, form in value.items()})

    def _words(self, value: Any, pointer: str) -> dict[str, str]:
        if not isinstance(value, dict) or not value:
            self._found.add(pointer, f"this is an object of words and states, not {named(value)}")
            return {}
        return {word: self._name_of(state, word, Kind.TARGET, below(pointer, word)) for word, state in value.items()}

    def _branches(self, value: Any, pointer: str) -> tuple[Step, ...]:
        if not isinstance(value, list) or not value:
            self._found.add(pointer, f"choose is a list of decisions, not {named(value)}")
            return ()
        for place, branch in enumerate(value[:-1]):
            if isinstance(branch, dict) and "when" not in branch:
                message = "what follows a branch without `when` is never reached"
                self._found.add(below(pointer, place), message, "put it last, or give it a condition")
        if isinstance(value[-1], dict) and "when" in value[-1]:
            message = "the last branch has a condition: what if none is true?"
            self._found.add(below(pointer, len(value) - 1), message, "end with a branch without `when`")
        steps = [self._step(branch, below(pointer, place), is_branch=True) for place, branch in enumerate(value)]
        return tuple(step for step in steps if step is not None)

    def _race(self, value: Any, pointer: str) -> tuple[Step, ...]:
        if not isinstance(value, list):
            self._found.add(pointer, f"race is a list of decisions, not {named(value)}", _RACE_OF)
            return ()
        if not 2 <= len(value) <= RACE_MAX:
            self._found.add(pointer, f"a race of {len(value)} branches; it takes 2 to {RACE_MAX}")
        steps = [self._raced(body, below(pointer, place)) for place, body in enumerate(value)]
        return tuple(step for step in steps if step is not None)

    def _raced(self, body: Any, pointer: str) -> Step | None:
        verbs = _verbs(body) if isinstance(body, dict) else []
        if len(verbs) == 1 and verbs[0] in RACED:
            return self._decision(body, verbs[0], pointer, set())
        said = named(body) if not isinstance(body, dict) else " and ".join(verbs) or "none"
        self._found.add(pointer, f"a branch of a race is one decision that waits, not {said}", _RACE_OF)
        if not verbs and isinstance(body, dict):
            self._unknown(body, set(RACED), pointer)
        return None

    def _calls(self, value: Any, pointer: str) -> tuple[Call, ...]:
        if not isinstance(value, list) or not value:
            self._found.add(pointer, f"together is a list of tasks, not {named(value)}", "write {run: …, params: …}")
            return ()
        calls: list[Call] = []
        for place, body in enumerate(value):
            where = below(pointer, place)
            if not isinstance(body, dict) or "run" not in body:
                self._found.add(where, "a task is an object with `run`")
                continue
            calls.append(self._call(body, CALL, where))
        return tuple(calls)

    def _call(self, body: JsonObject, verb: Verb, pointer: str) -> Call:
        self._unknown(body, {*verb.members, "run"}, pointer)
        task = self._name_of(body["run"], "run", Kind.NAME, below(pointer, "run"))
        members = self._members(body, verb, "run", pointer).templates
        check_limits(members, pointer, self._found)
        return Call(task, members, pointer)

    def _condition(self, value: Any, pointer: str) -> Template:
        template = self._template(value, Kind.VALUE, pointer, SCOPE)
        if isinstance(template, Literal) and not isinstance(value, bool) and not self._is_told(pointer):
            self._found.add(pointer, f"the condition {value!r} is always the same", "write an expression: ${…}")
        return template

    def _changes(self, body: JsonObject, pointer: str) -> dict[str, Template]:
        if "set" not in body:
            return {}
        place = below(pointer, "set")
        if not isinstance(body["set"], dict):
            self._found.add(place, f"set is an object of members of data, not {named(body['set'])}")
            return {}
        return {name: template_of(value, below(place, name), SCOPE, self._found) for name, value in body["set"].items()}

    # Values

    def _name_of(self, value: Any, member: str, kind: Kind, pointer: str) -> str:
        what = "the name of a state" if kind is Kind.TARGET else "a name"
        if not isinstance(value, str) or not 1 <= len(value) <= NAME_CHARACTERS_MAX:
            self._found.add(pointer, f"{member} is {what}, not {named(value)}")
            return ""
        if "${" in value:
            self._found.add(pointer, f"{member} is {what}, without expressions: what may come is known beforehand")
        elif member == "wait_for" and not is_signal_name(value):
            message = f"a signal is called by 1 to 100 letters, digits, '.', '_', ':' or '-', not {value[:80]!r}"
            self._found.add(pointer, message)
        elif kind is Kind.TARGET:
            self._targets.append((pointer, value))
        return value

    def _template(self, value: Any, kind: Kind, pointer: str, scope: frozenset[str]) -> Template:
        template = template_of(value, pointer, scope, self._found)
        if kind in MEMBERS and not self._are_known(value, kind, pointer):
            return template
        if isinstance(template, Literal):
            return self._made(template.value, kind, pointer)
        if fault := misfit(value, kind):
            self._found.add(pointer, fault)
        return template

    def _made(self, value: Any, kind: Kind, pointer: str) -> Literal:
        try:
            return Literal(made(value, kind))
        except (ValueError, TypeError, AttributeError) as error:
            if not self._is_told(pointer):  # an expression that does not parse stands for itself
                self._found.add(pointer, str(error)[:300], HINTS.get(kind, ""))
            return Literal(None)

    def _are_known(self, value: Any, kind: Kind, pointer: str) -> bool:
        """Whether the members of an object of that kind are, or of a list of such objects."""
        before = len(self._found.problems)
        if isinstance(value, dict):
            self._unknown(value, MEMBERS[kind], pointer)
        elif isinstance(value, list) and kind is Kind.ESCALATE:
            for place, one in enumerate(value):
                self._unknown(one if isinstance(one, dict) else {}, MEMBERS[kind], below(pointer, place))
        return len(self._found.problems) == before

    def _unknown(self, body: Mapping[str, Any], known: Set[str], pointer: str) -> None:
        for name in body:
            if name not in known:
                hint = near(name, known) or f"there are: {', '.join(sorted(known))}"
                self._found.add(below(pointer, name), f"{name[:80]!r} is not known here", hint)

    def _required(self, body: JsonObject, verb: Verb, name: str, pointer: str) -> None:
        for member in verb.required:
            if member not in body:
                self._found.add(pointer, f"{name} needs `{member}`")

    def _is_told(self, pointer: str) -> bool:
        return any(problem.pointer == pointer for problem in self._found.problems)


@dataclass(slots=True)
class _Beside:
    """What stands beside a decision, as the members of `Step`."""

    templates: dict[str, Template] = field(default_factory=dict[str, Template])
    targets: dict[str, str] = field(default_factory=dict[str, str])
    words: dict[str, str] = field(default_factory=dict[str, str])
    undo: Call | None = None


_DECISIONS: Final = f"write one of: {', '.join(VERBS)}"
_RACE_OF: Final = f"write one of: {', '.join(RACED)}"


def _verbs(body: JsonObject) -> list[str]:
    """The decisions in *body*. `choose` is one, and beside a task it says which worker gets that."""
    verbs = [name for name in body if name in VERBS]
    others = [name for name in verbs if name != "choose"]
    return others if len(others) == 1 and "choose" in VERBS[others[0]].members else verbs


def _with_name(spec: JsonObject, name: str) -> dict[str, Any]:
    return dict(spec) if "name" in spec or not name else {"name": name, **spec}
