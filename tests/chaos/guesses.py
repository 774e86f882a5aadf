"""Requests that somebody may send, right and wrong ones, made from the server's own table of operations."""

import json
import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from hypothesis import strategies as st
from muster.api.operations import Auth, Operation, Parameter
from muster.api.routes import OPERATIONS
from muster.core.status import JobStatus
from pydantic import BaseModel

from tests.system.processes import ALPHA, BETA, WORKER_TOKEN

JOB: Final = "@job:"
TASK: Final = "@task:"
OWNER: Final = "@owner:"
"""Stand for a job, a task and a task's job that exist when the request is sent; a number follows, and a colon."""
WORKERS: Final = ("w1", "w2", "nobody")
TYPES: Final = ("work", "other")
BLUEPRINTS: Final = ("one", "three", "fan", "ask", "hurry", "nap", "careful", "nothing")
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
DEEP: Final = 70
BIG: Final = 2**70


def mostly(right: st.SearchStrategy[Any], wrong: st.SearchStrategy[Any], one_in: int) -> st.SearchStrategy[Any]:
    return st.integers(1, one_in).flatmap(lambda n: wrong if n == one_in else right)


numbers = st.one_of(
    st.integers(-3, 12), st.integers(), st.sampled_from([BIG, -BIG, 2**53, 2**63, 0.0, -0.0, 1e308, 5e-324, 0.5])
)
texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "\0", "\ufeff", "💥", "é" * 99, "a" * 1500, "{x}", "%s", "..", "null", "1", "\u202e", "|", ","]
    ),
)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)
existing_jobs = st.integers(0, 9).map(lambda n: f"{JOB}{n}:")
existing_tasks = st.integers(0, 9).map(lambda n: f"{TASK}{n}:")
seconds = st.sampled_from(["0", "0.01", "", "-1", "x", "nan", "inf", "1e3", "0" * 20, "٣", "0.0000000001", " 0"])
wholes = st.one_of(st.sampled_from(["0", "1", "2", "64", "-1", "x", "", "1" * 30, "٣", "1.5", "+1"]), texts)
KNOWN: Final[dict[str, st.SearchStrategy[Any]]] = {
    "job_id": mostly(existing_jobs, st.one_of(texts, st.just("018f0000-0000-7000-8000-000000000001")), 10),
    "task_id": mostly(
        existing_tasks,
        st.one_of(texts, st.builds(lambda n, t: f"{JOB}{n}:.{t}", st.integers(0, 9), st.integers(-1, 3))),
        4,
    ),
    "worker_id": mostly(st.sampled_from(WORKERS), texts, 10),
    "supported_tasks": mostly(st.just(list(TYPES)), st.lists(texts, max_size=3), 4),
    "decision": mostly(st.sampled_from(["approved", "rejected", "late", "success", "cancelled"]), texts, 6),
    "type": st.sampled_from(TYPES),
    "count": st.integers(-1, 5),
    "within": st.sampled_from([0.05, 60, -1, 0, "1s", "x", None]),
    "seconds": st.sampled_from([0.05, 0, -1, "x", "1s", BIG]),
    "status": mostly(st.sampled_from(["success", "failure", "cancelled", "needs_review", "idle", "busy"]), texts, 8),
    "protocol": st.sampled_from([0, 1, 1, 2]),
    "max_concurrent_tasks": st.sampled_from([1, 2, 10_000, 0, 10_001]),
}
QUERY: Final[dict[str, st.SearchStrategy[str]]] = {
    "wait": seconds,
    "timeout": seconds,
    "Prefer": st.sampled_from(["wait=0", "wait=x", "respond-async", "wait=-1", '"', "wait = 0; x"]),
    "status": st.one_of(st.sampled_from([*JobStatus, "finished,failed", ",", "nothing"]), texts),
    "format": st.sampled_from(["dot", "mermaid", "json", "xml", ""]),
    "blueprint": st.one_of(st.sampled_from(BLUEPRINTS), texts),
    "cursor": st.one_of(st.sampled_from(["0", "1" * 16, "1" * 17, "9" * 15, "²"]), texts),
    "Idempotency-Key": st.one_of(st.sampled_from(["k1", "k2", "a b", "", "k" * 256]), texts),
}


@dataclass(frozen=True)
class Guess:
    """A request before its stand-ins are replaced."""

    operation: Operation
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    meant: bool = True
    """The target and method are those of the operation, though its parts may be wrong."""


def schema_values(schema: dict[str, Any], defs: dict[str, Any], name: str = "") -> st.SearchStrategy[Any]:
    """Mostly what *schema* wants, and now and then something else."""
    if name in KNOWN:
        return mostly(KNOWN[name], json_values, 20)
    return mostly(_right(schema, defs), json_values, 20)


def _right(schema: dict[str, Any], defs: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return _right(defs[schema["$ref"].rpartition("/")[2]], defs)
    if "anyOf" in schema:
        return st.one_of(*(_right(choice, defs) for choice in schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "object" if "properties" in schema:
            return _object(schema, defs)
        case "object":
            known = st.fixed_dictionaries({}, optional={k: KNOWN[k] for k in ("type", "count", "within", "seconds")})
            return st.one_of(known, st.dictionaries(texts, json_values, max_size=3))
        case "array":
            return st.lists(schema_values(schema.get("items", {}), defs), max_size=3)
        case "string":
            return texts
        case "integer":
            return st.integers(0, 5)
        case "number":
            return st.one_of(st.floats(0, 1), st.integers(0, 3))
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case _:
            return json_values


def _object(schema: dict[str, Any], defs: dict[str, Any]) -> st.SearchStrategy[Any]:
    fields = {name: schema_values(part, defs, name) for name, part in schema.get("properties", {}).items()}
    wanted = {name: fields.pop(name) for name in schema.get("required", ()) if name in fields}
    right = st.fixed_dictionaries(wanted, optional=fields)
    return mostly(right, st.fixed_dictionaries({}, optional={**fields, **wanted}), 8)


def body_values(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    schema = model.model_json_schema()
    return _object(schema, schema.get("$defs", {}))


def _coherent(value: Any) -> Any:
    """Where a task that exists is named, its job is too."""
    if isinstance(value, list):
        return [_coherent(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {name: _coherent(item) for name, item in value.items()}
    task = found.get("task_id")
    return {**found, "job_id": task.replace(TASK, OWNER)} if isinstance(task, str) and "job_id" in found else found


def mangled(data: bytes) -> st.SearchStrategy[bytes]:
    """Almost *data*: cut, with wrong bytes in it, or around something that no reader likes."""
    places = st.integers(0, max(len(data), 1))
    bits = st.one_of(
        st.binary(min_size=1, max_size=4),
        st.sampled_from(
            [b"\xff", b"\xed\xa0\x80", b"NaN", b"Infinity", b"1e999", b"\\ud800", b"//", b"\0", b"9" * 400]
        ),
    )
    return st.one_of(
        places.map(lambda at: data[:at]),
        st.builds(lambda at, bit: data[:at] + bit + data[at:], places, bits),
        st.builds(lambda at, bit: data[:at] + bit + data[at + len(bit) :], places, bits),
        st.builds(lambda at: data[:at] + b"[" * DEEP + b"]" * DEEP + data[at:], places),
        st.sampled_from(
            [b"\xef\xbb\xbf" + data, data + data, b"[" + data + b"]", b"[" * 100_000, b'{"a":' * 5_000, b'"' + data]
        ),
    )


@st.composite
def guesses(draw: st.DrawFn, bytes_only: bool = False) -> Guess:
    with_body = [row for row in OPERATIONS if row.body]
    rows = [row for row in with_body if row.auth is Auth.WORKER] if bytes_only else [*OPERATIONS, *with_body * 3]
    operation = draw(st.sampled_from(rows))
    body = None
    if operation.body is not None:
        value = draw(body_values(operation.body))
        data = json.dumps(draw(mostly(st.just(_coherent(value)), st.just(value), 4))).encode()
        body = draw(mangled(data)) if bytes_only or draw(st.integers(0, 9)) == 0 else data
        body = b"" if draw(st.integers(0, 15)) == 0 else body
    method = draw(mostly(st.just(operation.method), st.sampled_from(METHODS), 20))
    query, headers = draw(_parameters(operation.parameters))
    path = draw(_path(operation))
    bent = draw(_bent(path)) if draw(st.integers(0, 29)) == 0 else path
    target = bent + (f"?{query}" if query else "")
    meant = (bent, method) == (path, operation.method)
    return Guess(operation, method, target, (*draw(_credentials(operation.auth)), *headers), body, meant)


def _bent(path: str) -> st.SearchStrategy[str]:
    return st.sampled_from([path + "/", path.replace("/", "//", 1), path + "%00", path + "%ff", path + "/%2e%2e"])


@st.composite
def _path(draw: st.DrawFn, operation: Operation) -> str:
    def fill(found: re.Match[str]) -> str:
        name = found[1]
        if name in KNOWN:
            return quote(draw(KNOWN[name]), safe="@:" if name != "worker_id" else "", errors="surrogatepass")
        if name == "endpoint…":
            return "jobs/" + draw(st.sampled_from(BLUEPRINTS))
        if name == "api_version":
            return draw(st.sampled_from(["v1", "v1", "v1", "v2"]))
        return quote(draw(st.one_of(st.sampled_from(BLUEPRINTS), texts)), safe="", errors="surrogatepass")

    return re.sub(r"\{([^}]+)\}", fill, operation.path)


@st.composite
def _parameters(draw: st.DrawFn, parameters: tuple[Parameter, ...]) -> tuple[str, tuple[tuple[str, str], ...]]:
    query, headers = [], []
    for parameter in parameters:
        if draw(st.booleans()):
            continue
        value = draw(QUERY.get(parameter.name, wholes if parameter.schema["type"] == "integer" else texts))
        if parameter.location == "header":
            headers.append((parameter.name, _header_text(value)))
        else:
            query.append(f"{parameter.name}={quote(value, safe='', errors='surrogatepass')}")
    return "&".join(query), tuple(headers)


def _header_text(value: str) -> str:
    """What a header can carry at all."""
    return "".join(c for c in value if 32 <= ord(c) < 127 or 160 <= ord(c) < 256).strip()[:2000]


def _credentials(auth: Auth) -> st.SearchStrategy[tuple[tuple[str, str], ...]]:
    right = {
        Auth.NONE: (),
        Auth.CLIENT: (("X-Client-Token", ALPHA),),
        Auth.OPERATOR: (("X-Client-Token", ALPHA),),
        Auth.WORKER: (("X-Worker-Token", WORKER_TOKEN),),
    }[auth]
    others = st.sampled_from(
        [(), (("X-Client-Token", BETA),), (("Authorization", "Bearer é"),), (("X-Worker-Token", ALPHA),)]
    )
    return mostly(st.just(right), others, 15)
