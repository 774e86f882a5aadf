"""Reads a blueprint that is data, and finds everything that is wrong with it at once."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

import orjson
from muster_worker.durations import parse_duration_ms
from muster_worker.retry_policy import RetryPolicy

from muster.blueprint.asking import question_of
from muster.blueprint.data.findings import Findings, below
from muster.blueprint.data.input_schema import check_schema
from muster.blueprint.data.outline import CALL, ITEM, SCOPE, VERBS, Call, Kind, Outline, Step, Verb
from muster.blueprint.data.templates import Literal, Template, template_of
from muster.blueprint.problems import BlueprintError
from muster.core.graph import BUILT_IN_STATES
from muster.core.ids import is_signal_name
from muster.core.join import JoinPolicy, load_join
from muster.core.json import JsonObject

SPEC_BYTES_MAX: Final = 262_144
"""As JSON. Every version is kept in the store's memory, and in that of every replica."""
STATES_MAX: Final = 500
NAME_CHARACTERS_MAX: Final = 256
_MEMBERS: Final = frozenset(
    {"name", "version", "description", "endpoint", "api_version", "input", "data", "start", "states"}
)


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
        if "input" in spec:
            check_schema(spec["input"], "/input", self._found)
        states = self._states(spec)
        return Outline(
            spec=_with_name(spec, name),
            name=self._name(spec, name),
            version=self._version(spec),
            description=self._word(spec, "description") or "",
            endpoint=self._word(spec, "endpoint"),
            api_version=self._word(spec, "api_version") or "v1",
            input=spec.get("input"),
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
            self._found.add(f"/{member}", f"{member} is a text, not {_named(value)}")
            return None
        return value

    def _object(self, spec: JsonObject, member: str) -> Mapping[str, Any]:
        value = spec.get(member)
        if value is not None and not isinstance(value, dict):
            self._found.add(f"/{member}", f"{member} is an object, not {_named(value)}")
            return {}
        return value or {}

    def _start(self, spec: JsonObject, states: Mapping[str, Step]) -> str:
        start = spec.get("start")
        if not isinstance(start, str) or not start:
            self._found.add("/start", "no state is the start", "write start: and the name of the first state")
            return ""
        if start not in states:
            self._found.add("/start", f"the start {start!r} is no state", _near(start, list(states)))
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
                hint = _near(target, [*states, *BUILT_IN_STATES])
                self._found.add(pointer, f"there is no state {target[:80]!r}", hint)

    # One decision

    def _step(self, body: Any, pointer: str, *, is_branch: bool) -> Step | None:
        if not isinstance(body, dict):
            self._found.add(pointer, f"a state is an object with one decision, not {_named(body)}", _DECISIONS)
            return None
        verbs = [name for name in body if name in VERBS]
        if len(verbs) != 1:
            said = f"has {len(verbs)} decisions: {', '.join(verbs)}" if verbs else "has no decision"
            self._found.add(pointer, f"the state {said}", _DECISIONS)
            if not verbs:
                self._unknown(body, {*VERBS, "set", "when"}, pointer)
            return None
        if is_branch and verbs[0] == "choose":
            self._found.add(below(pointer, "choose"), "a branch has no branches of its own", "go to a state that has")
            return None
        return self._decision(body, verbs[0], pointer, is_branch=is_branch)

    def _decision(self, body: JsonObject, name: str, pointer: str, *, is_branch: bool) -> Step:
        verb = VERBS[name]
        self._unknown(body, {*verb.members, name, "set", *(("when",) if is_branch else ())}, pointer)
        self._required(body, verb, name, pointer)
        head: Any
        if verb.head is Kind.BRANCHES:
            head = self._branches(body[name], below(pointer, name))
        elif verb.head is Kind.CALLS:
            head = self._calls(body[name], below(pointer, name))
        elif verb.head in {Kind.NAME, Kind.TARGET}:
            head = self._name_of(body[name], name, verb.head, below(pointer, name))
        else:
            head = self._template(body[name], verb.head, below(pointer, name), SCOPE)
        members, targets, words = self._members(body, verb, name, pointer)
        when = self._condition(body["when"], below(pointer, "when")) if is_branch and "when" in body else None
        return Step(name, pointer, head, members, targets, words, self._changes(body, pointer), when)

    def _members(
        self, body: JsonObject, verb: Verb, name: str, pointer: str
    ) -> tuple[dict[str, Template], dict[str, str], dict[str, str]]:
        members: dict[str, Template] = {}
        targets: dict[str, str] = {}
        words: dict[str, str] = {}
        for member, kind in verb.members.items():
            if member not in body:
                continue
            place = below(pointer, member)
            if kind is Kind.TARGET:
                targets[member] = self._name_of(body[member], member, kind, place)
            elif kind in {Kind.RETRY, Kind.JOIN}:
                members[member] = self._policy(body[member], kind, place)
            elif kind is Kind.TARGETS:
                words = self._words(body[member], place)
            else:
                scope = SCOPE | {ITEM} if name == "map" and member == "params" else SCOPE
                members[member] = self._template(body[member], kind, place, scope)
        if "late" in targets and "within" not in members:
            self._found.add(below(pointer, "late"), "late needs within, a duration such as 2d")
        if name == "ask" and not self._found.problems:
            self._check_question(words, members, pointer)
        return members, targets, words

    def _check_question(self, words: Mapping[str, str], members: Mapping[str, Template], pointer: str) -> None:
        """Who may answer, as far as it is written down; what expressions say comes with the job."""
        given = {name: members.get(name, Literal(None)) for name in ("approvers", "quorum")}
        known = {name: one.value for name, one in given.items() if isinstance(one, Literal)}
        if len(known) < len(given):
            return
        try:
            quorum = 1 if known["quorum"] is None else known["quorum"]
            question_of(words, form=None, approvers=known["approvers"], quorum=quorum, escalate=(), within_ms=None)
        except (ValueError, TypeError) as error:
            self._found.add(below(pointer, "approvers" if known["approvers"] else "quorum"), str(error)[:300])

    def _words(self, value: Any, pointer: str) -> dict[str, str]:
        if not isinstance(value, dict) or not value:
            self._found.add(pointer, f"this is an object of words and states, not {_named(value)}")
            return {}
        return {word: self._name_of(state, word, Kind.TARGET, below(pointer, word)) for word, state in value.items()}

    def _branches(self, value: Any, pointer: str) -> tuple[Step, ...]:
        if not isinstance(value, list) or not value:
            self._found.add(pointer, f"choose is a list of decisions, not {_named(value)}")
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

    def _calls(self, value: Any, pointer: str) -> tuple[Call, ...]:
        if not isinstance(value, list) or not value:
            self._found.add(pointer, f"together is a list of tasks, not {_named(value)}", "write {run: …, params: …}")
            return ()
        calls: list[Call] = []
        for place, body in enumerate(value):
            where = below(pointer, place)
            if not isinstance(body, dict) or "run" not in body:
                self._found.add(where, "a task is an object with `run`")
                continue
            self._unknown(body, {*CALL.members, "run"}, where)
            task = self._name_of(body["run"], "run", Kind.NAME, below(where, "run"))
            calls.append(Call(task, self._members(body, CALL, "run", where)[0], where))
        return tuple(calls)

    def _condition(self, value: Any, pointer: str) -> Template:
        template = self._template(value, Kind.VALUE, pointer, SCOPE)
        if isinstance(template, Literal) and not isinstance(value, bool) and not self._is_told(pointer):
            self._found.add(pointer, f"the condition {value!r} is always the same", "write an expression: ${…}")
        return template

    def _policy(self, value: Any, kind: Kind, pointer: str) -> Template:
        """A value that says how, not what: it is the same for every job."""
        try:
            return Literal(_policy_of(value, kind))
        except (ValueError, TypeError, AttributeError) as error:
            self._found.add(pointer, str(error)[:300], _POLICIES[kind])
            return Literal(None)

    def _changes(self, body: JsonObject, pointer: str) -> dict[str, Template]:
        if "set" not in body:
            return {}
        place = below(pointer, "set")
        if not isinstance(body["set"], dict):
            self._found.add(place, f"set is an object of members of data, not {_named(body['set'])}")
            return {}
        return {name: template_of(value, below(place, name), SCOPE, self._found) for name, value in body["set"].items()}

    # Values

    def _name_of(self, value: Any, member: str, kind: Kind, pointer: str) -> str:
        what = "the name of a state" if kind is Kind.TARGET else "a name"
        if not isinstance(value, str) or not 1 <= len(value) <= NAME_CHARACTERS_MAX:
            self._found.add(pointer, f"{member} is {what}, not {_named(value)}")
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
        if isinstance(template, Literal):
            if fault := literal_fault(template.value, kind):
                self._found.add(pointer, fault)
        elif kind in _WANTED and _cannot_be(value, kind):
            self._found.add(pointer, f"this is {_WANTED[kind]}, not {_named(value)}")
        return template

    def _unknown(self, body: Mapping[str, Any], known: "frozenset[str] | set[str]", pointer: str) -> None:
        for name in body:
            if name not in known:
                hint = _near(name, known) or f"there are: {', '.join(sorted(known))}"
                self._found.add(below(pointer, name), f"{name[:80]!r} is not known here", hint)

    def _required(self, body: JsonObject, verb: Verb, name: str, pointer: str) -> None:
        for member in verb.required:
            if member not in body:
                self._found.add(pointer, f"{name} needs `{member}`")

    def _is_told(self, pointer: str) -> bool:
        return any(problem.pointer == pointer for problem in self._found.problems)


_DECISIONS: Final = f"write one of: {', '.join(VERBS)}"
_WANTED: Final = {
    Kind.DURATION: "a duration such as 90s, 5m or 2d", Kind.WHOLE: "a whole number", Kind.TEXT: "a text",
    Kind.OBJECT: "an object", Kind.LIST: "a list", Kind.FLAG: "true or false",
}  # fmt: skip


_POLICIES: Final = {
    Kind.RETRY: "write {retries: 3, first: 1s, factor: 2, cap: 1m}, or retries: 3 alone",
    Kind.JOIN: "write all, any, first:2, settled, or settled:3 (so many may fail)",
}


def _policy_of(value: Any, kind: Kind) -> RetryPolicy | JoinPolicy:
    """Raises ValueError, TypeError."""
    if kind is Kind.RETRY:
        if not isinstance(value, dict):
            raise TypeError(f"a retry policy is an object, not {_named(value)}")
        return RetryPolicy.from_json(value)
    if not isinstance(value, str):
        raise TypeError(f"a join is a word, not {_named(value)}")
    return load_join(value)


def literal_fault(value: Any, kind: Kind) -> str | None:
    """Why *value* is not of *kind*, or None."""
    wanted = _WANTED.get(kind)
    match kind:
        case Kind.DURATION:
            is_right = _is_duration(value)
        case Kind.WHOLE:
            is_right = isinstance(value, int) and not isinstance(value, bool)
        case Kind.TEXT:
            is_right = isinstance(value, str)
        case Kind.OBJECT:
            is_right = isinstance(value, dict)
        case Kind.LIST:
            is_right = isinstance(value, list)
        case Kind.FLAG:
            is_right = isinstance(value, bool)
        case _:
            is_right = True
    return None if is_right else f"this is {wanted}, not {_named(value)}"


def _is_duration(value: Any) -> bool:
    try:
        parse_duration_ms(value)
    except (ValueError, TypeError):
        return False
    return True


def _cannot_be(value: Any, kind: Kind) -> bool:
    """Whether a value with expressions in it can never be of *kind*: a list is no number."""
    if isinstance(value, str):
        return kind is Kind.FLAG
    return not ((kind is Kind.OBJECT and isinstance(value, dict)) or (kind is Kind.LIST and isinstance(value, list)))


def _with_name(spec: JsonObject, name: str) -> dict[str, Any]:
    return dict(spec) if "name" in spec or not name else {"name": name, **spec}


def _near(name: str, known: Any) -> str:
    near = get_close_matches(name, list(known), 1)
    return f"did you mean {near[0]!r}?" if near else ""


def _named(value: Any) -> str:
    """*value* in words: what it is, or itself where it is short."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else repr(value)[:80]
