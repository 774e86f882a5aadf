"""The form of a blueprint that is data, as a JSON Schema (draft 7, which editors know), for whoever writes one.

Drawn from the same table as the reading. It says what may stand where; whether states are there, expressions parse and
members go together is told by `muster blueprint check`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final, TypeAlias, get_args

from muster_worker.needs import POLICIES
from muster_worker.retry_policy import RetryPolicy

from muster.blueprint.data.combinations import NOT_RACED
from muster.blueprint.data.kinds import MEMBERS
from muster.blueprint.data.outline import CALL, RACED, UNDO, VERBS, Kind, Verb
from muster.blueprint.data.planning import SCHEDULE_MEMBERS
from muster.core.connection import Overlap
from muster.core.limits import PRIORITY_MAX, PRIORITY_MIN, RACE_MAX, TAGS_MAX

Schema: TypeAlias = dict[str, Any]

_EXPRESSION: Final[Schema] = {"type": "string", "pattern": r"\$\{"}
_TEXT: Final[Schema] = {"type": "string"}
_OPEN: Final[Schema] = {"type": ["string", "null"]}
_NAME: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 256}
_ABOUT: Final = {
    "run": "Have a worker do one task.",
    "map": "Have workers do the same task on every value of a list.",
    "together": "Have workers do different tasks at once.",
    "race": "Wait for several things; the first to end decides.",
    "ask": "Wait for people, who answer with one of the choices.",
    "wait_for": "Wait until somebody gives the signal.",
    "sleep": "Go on after a while.",
    "child": "Start another job and wait for its end.",
    "go": "Go on in another state at once.",
    "done": "End the job well, with this result.",
    "fail": "End the job as failed, with this message.",
    "quarantine": "Put the job aside for an operator to look at.",
    "choose": "The first decision whose `when` holds; the last has none.",
}


def document_schema() -> Schema:
    """Of the whole document."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Muster blueprint",
        "type": "object",
        "required": ["start", "states"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_.-]{0,63}$"},
            "version": {"type": "integer", "minimum": 1},
            "description": _OPEN,
            "endpoint": {**_OPEN, "description": "Path below /api/<api_version>/."},
            "api_version": _OPEN,
            "input": {"type": "object", "description": "JSON Schema of what a client sends."},
            "output": {"type": "object", "description": "JSON Schema of a finished job's result."},
            "retention": {**_duration("null"), "description": "How long its jobs are kept once they are over."},
            "deadline": {**_duration("null"), "description": "A job that has not ended so long after its start fails."},
            "schedule": {
                "description": "Of one in a server's file: when it runs by itself.",
                "oneOf": [_planned(kind, beside) for kind, beside in SCHEDULE_MEMBERS.items()],
            },
            "files": {**_either({"type": "array", "items": _TEXT}), "description": "Ids that the input names."},
            "data": {"type": ["object", "null"], "description": "What `data` holds at first."},
            "start": {**_NAME, "description": "The state every job begins in."},
            "states": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"$ref": "#/definitions/state"},
            },
        },
        "definitions": {
            "state": {"oneOf": list(_decisions(VERBS, ("set",)))},
            "branch": {"oneOf": list(_decisions([name for name in VERBS if name != "choose"], ("set", "when")))},
            "raced": {"oneOf": list(_decisions(RACED, (), is_raced=True))},
            "call": _object({**_members(CALL), "run": _NAME}, ["run"]),
            "undo": {"oneOf": [_NAME, _object({**_members(UNDO), "run": _NAME}, ["run"])]},
        },
    }


def _decisions(names: Iterable[str], beside: Iterable[str], *, is_raced: bool = False) -> Iterable[Schema]:
    more: dict[str, Schema] = {"set": {"type": "object"}, "when": {"anyOf": [{"type": "boolean"}, _EXPRESSION]}}
    for name in names:
        verb = VERBS[name]
        refused = {*NOT_RACED, *(("cancelled",) if name == "ask" else ())} if is_raced else set[str]()
        members = {member: one for member, one in _members(verb).items() if member not in refused}
        properties = {**members, name: {**_kind(verb.head), "description": _ABOUT[name]}}
        properties |= {member: more[member] for member in beside}
        yield {**_object(properties, [name, *verb.required]), "title": name}


def _members(verb: Verb) -> dict[str, Schema]:
    return {name: _kind(kind) for name, kind in verb.members.items()}


def _object(properties: Mapping[str, Any], required: list[str]) -> Schema:
    return {"type": "object", "required": required, "properties": dict(properties), "additionalProperties": False}


def _planned(kind: str, beside: Iterable[str]) -> Schema:
    more = {"tz": _TEXT, "anchor": _TEXT, "overlap": {"enum": list(get_args(Overlap))}}
    members = {name: more.get(name, _duration() if name in {"late", "jitter"} else {}) for name in beside}
    return _object({kind: _TEXT if kind == "cron" else _duration(), **members}, [kind])


def _duration(*others: str) -> Schema:
    return {"anyOf": [_TEXT, {"type": "number", "minimum": 0}, *({"type": other} for other in others)]}


def _either(*schemas: Schema) -> Schema:
    return {"anyOf": [*schemas, _EXPRESSION]}


def _whole(low: int, high: int | None = None) -> Schema:
    return {"type": "integer", "minimum": low, **({} if high is None else {"maximum": high})}


def _of(kind: Kind) -> Schema:
    """An object of what a class takes."""
    return _object(dict.fromkeys(sorted(MEMBERS[kind]), True), [])


def _list_of(name: str, least: int = 1, most: int | None = None) -> Schema:
    items: Schema = {"type": "array", "items": {"$ref": f"#/definitions/{name}"}, "minItems": least}
    return items if most is None else {**items, "maxItems": most}


def _kind(kind: Kind) -> Schema:
    return dict(_KINDS[kind])


_STEP: Final[Schema] = {**_of(Kind.ESCALATE), "required": ["after"]}
_CHOICES: Final[Schema] = {"enum": list(POLICIES)}
_KINDS: Final[Mapping[Kind, Schema]] = {
    Kind.TARGET: _NAME,
    Kind.NAME: _NAME,
    Kind.TARGETS: {"type": "object", "minProperties": 1, "additionalProperties": _NAME},
    Kind.VALUE: {},
    Kind.OBJECT: _either({"type": "object"}),
    Kind.LIST: _either({"type": "array"}),
    Kind.NAMES: _either({"type": "array", "items": _TEXT}),
    Kind.TAGS: _either({"type": "array", "items": _TEXT, "maxItems": TAGS_MAX}),
    Kind.TEXT: _TEXT,
    Kind.KEY: _TEXT,
    Kind.DURATION: _duration(),
    Kind.COUNT: _either(_whole(0)),
    Kind.WIDTH: _either(_whole(1)),
    Kind.PRIORITY: _either(_whole(PRIORITY_MIN, PRIORITY_MAX)),
    Kind.NUMBER: _either({"type": "number", "minimum": 0}),
    Kind.FLAG: {"type": "boolean"},
    Kind.NEEDS: _either(_of(Kind.NEEDS)),
    Kind.PREFER: {"anyOf": [_TEXT, _of(Kind.PREFER)]},
    Kind.CHOICE: _either(_CHOICES, {**_of(Kind.CHOICE), "required": ["policy"]}),
    Kind.QUORUM: _either(_whole(1), {"type": "object", "additionalProperties": _either(_whole(1))}),
    Kind.ESCALATE: _either(_STEP, {"type": "array", "items": _either(_STEP)}),
    Kind.RETRY: _object({field.name: True for field in fields(RetryPolicy) if field.init}, []),
    Kind.JOIN: {"type": "string", "pattern": "^(all|any|first:[1-9][0-9]*|settled(:[0-9]+)?)$"},
    Kind.FORM: {"type": "object"},
    Kind.FORMS: {"type": "object", "minProperties": 1, "additionalProperties": {"type": "object"}},
    Kind.UNDO: {"$ref": "#/definitions/undo"},
    Kind.CALLS: _list_of("call"),
    Kind.BRANCHES: _list_of("branch"),
    Kind.RACE: _list_of("raced", 2, RACE_MAX),
}
