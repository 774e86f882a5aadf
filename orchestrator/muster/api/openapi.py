"""The OpenAPI description, written from the table of operations and the blueprints of the moment."""

import operator
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final

import orjson

from muster.api.auth import CLIENT_HEADER, WORKER_HEADER
from muster.api.model_schemas import REF, ModelSchemas
from muster.api.models import CreateJob, Problem
from muster.api.operations import INVALID, JSON, NDJSON, Answer, Auth, Operation, Tag, reason
from muster.api.ports import Blueprint, Blueprints
from muster.api.problems import MEDIA_TYPE
from muster.api.schema_words import as_3_0
from muster.errors import STATUS_OF, ErrorCode
from muster.version import product_version

OPENAPI_3_1: Final = "3.1.0"
OPENAPI_3_0: Final = "3.0.3"
"""What the docs page is given: the packaged Swagger UI does not read 3.1."""
_TAGS: Final[Mapping[Tag, str]] = {
    Tag.PUBLIC: "No credentials.",
    Tag.JOBS: "Start jobs, follow them, end them. Needs a client token.",
    Tag.APPROVALS: "Questions to people: what is open, answers, delegations. Needs a client token.",
    Tag.BLUEPRINTS: "What can be started. Needs a client token.",
    Tag.FILES: "Uploads, and what tasks kept. Needs a client token, or a signed URL.",
    Tag.BATCHES: "Many jobs together. Needs a client token.",
    Tag.COST: "What jobs cost. Needs a client token.",
    Tag.LIMITS: "How many tasks run at once, start in a time, and whose share is how large. Needs a client token.",
    Tag.FLEET: "Workers and counts. Needs a client token.",
    Tag.WORKERS: "What workers call. Needs a worker token.",
    Tag.HEALTH: "Probes for load balancers and supervisors.",
    Tag.CLI: "Commands that this server's owner declared: find them, run them. Needs a client token.",
    Tag.WS: "Live messages over a WebSocket. The client token is the parameter `api_key`.",
    Tag.SYSTEM: "Whether the server answers, and whether it can work.",
    Tag.CONNECTIONS: "Saved, named jobs: run them by name, by schedule, or all in a row. Needs a client token.",
    Tag.MONITOR: "Executions, their steps and artifacts, and what the server is doing, live and as lists.",
    Tag.EXECUTIONS: "Run scripts, alone and in batches, and what they cost. Needs a client token.",
}
_COMMON_ERRORS: Final = (ErrorCode.INTERNAL,)
_OF_AUTH: Final[Mapping[Auth, tuple[ErrorCode, ...]]] = {
    **{auth: (ErrorCode.UNAUTHENTICATED, ErrorCode.INVALID_PARAMETER) for auth in Auth if auth.is_client},
    Auth.NONE: (),
    Auth.WORKER: (ErrorCode.UNAUTHENTICATED, ErrorCode.INVALID_PARAMETER, ErrorCode.FORBIDDEN),
}
_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary"}},
}
_OF_BODY: Final = (ErrorCode.MALFORMED_JSON, ErrorCode.INVALID_BODY, ErrorCode.BODY_TOO_LARGE)


class Reference:
    """The description as JSON, written anew only when somebody asks and the blueprints changed.

    It takes a good part of a second, which no start of a server has to wait for, nor any other request: ask for it in
    a thread.
    """

    def __init__(self, operations: tuple[Operation, ...], blueprints: Blueprints, api_key_header: str) -> None:
        self._operations = operations
        self._blueprints = blueprints
        self._schemes = _security_schemes(api_key_header)
        self._described: list[Blueprint] | None = None
        self._documents: dict[str, dict[str, Any]] = {}
        self._json: dict[str, bytes] = {}

    @cached_property
    def _models(self) -> ModelSchemas:
        return ModelSchemas(self._operations)

    def json(self, version: str) -> bytes:
        """OpenAPI *version*, 3.1.0 or 3.0.3."""
        self._describe()
        return self._json[version]

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """Method, path and summary of everything described."""
        self._describe()
        paths = self._documents[OPENAPI_3_1]["paths"]
        return [(method.upper(), path, row["summary"]) for path, rows in paths.items() for method, row in rows.items()]

    def _describe(self) -> None:
        found = (self._blueprints.get(name) for name in self._blueprints.names())
        now = [blueprint for blueprint in found if blueprint is not None]
        known = self._described
        if known is not None and len(known) == len(now) and all(map(operator.is_, known, now)):
            return
        newest = self._document(now)
        self._documents = {OPENAPI_3_1: newest, OPENAPI_3_0: {**as_3_0(newest), "openapi": OPENAPI_3_0}}
        self._json = {version: orjson.dumps(content) for version, content in self._documents.items()}
        self._described = now

    def _document(self, blueprints: list[Blueprint]) -> dict[str, Any]:
        schemas = dict(self._models.named)
        return {
            "openapi": OPENAPI_3_1,
            "info": {
                "title": "Muster",
                "version": product_version(),
                "description": "Jobs run through blueprints; workers pull their tasks over HTTP.",
            },
            "servers": [{"url": "/"}],
            "tags": [{"name": tag.value, "description": text} for tag, text in _TAGS.items()],
            "paths": self._paths(blueprints, schemas),
            "components": {"schemas": schemas, "securitySchemes": self._schemes},
        }

    def _paths(self, blueprints: list[Blueprint], schemas: dict[str, Any]) -> dict[str, Any]:
        paths: dict[str, Any] = {}
        ids: set[str] = set()
        for operation in self._operations:
            if operation.hidden:
                continue
            if "…}" not in operation.path:
                row = _described(operation, self._models)
                row["operationId"] = _unused(ids, operation.tag.value, operation.name, operation.method, operation.path)
                paths.setdefault(operation.path, {})[operation.method.lower()] = row
                continue
            for blueprint in blueprints:
                path = f"/api/{blueprint.api_version}/{blueprint.endpoint}"
                row = _described_endpoint(operation, blueprint, self._models, schemas)
                row["operationId"] = _unused(ids, operation.tag.value, row["operationId"], "POST", path)
                paths.setdefault(path, {})["post"] = row
        return paths


def errors_of(operation: Operation) -> tuple[ErrorCode, ...]:
    """Every error that *operation* can answer, those of its kind included."""
    codes = (*_OF_AUTH[operation.auth], *(_OF_BODY if operation.body else ()), *operation.errors, *_COMMON_ERRORS)
    if operation.unprocessable:
        codes = tuple(ErrorCode.UNPROCESSABLE if code in INVALID else code for code in codes)
    return tuple(dict.fromkeys(codes))


def _described(operation: Operation, models: ModelSchemas) -> dict[str, Any]:
    row: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag.value],
        "security": _security(operation.auth),
        "responses": {**_answers(operation.answers, models), **_problems(errors_of(operation), models)},
    }
    description = (operation.handler.__doc__ or "").strip()
    if description:
        row["description"] = description
    parameters = [*_path_parameters(operation.path), *_other_parameters(operation)]
    if parameters:
        row["parameters"] = parameters
    if operation.body is not None:
        schema = models.body(operation.body)
        content: dict[str, Any] = {JSON: {"schema": schema}}
        if operation.takes_lines:
            content[NDJSON] = {"schema": {"type": "string", "description": "An object a line, as one of `jobs`."}}
        row["requestBody"] = {"required": _has_required(operation), "content": content}
    elif operation.documents:
        row["requestBody"] = {"required": True, "content": {kind: {"schema": {}} for kind in operation.documents}}
    elif operation.takes_form:
        schema = _form(operation, models)
        row["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    elif operation.takes_file:
        row["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    return row


def _form(operation: Operation, models: ModelSchemas) -> dict[str, Any]:
    """The file, and beside it the members of `form` as parts."""
    if operation.form is None:
        return _FORM
    fields = models.written_out(operation.form)
    return {
        "type": "object",
        "required": [*_FORM["required"], *fields.get("required", ())],
        "properties": {**_FORM["properties"], **fields["properties"]},
    }


def _described_endpoint(
    operation: Operation, blueprint: Blueprint, models: ModelSchemas, schemas: dict[str, Any]
) -> dict[str, Any]:
    row = _described(operation, models)
    prefix = f"{_identifier(blueprint.name)}_input"
    schemas[prefix] = _relocated(dict(blueprint.input_schema()), prefix, schemas)
    body = dict(models.written_out(CreateJob))
    body["properties"] = {**body["properties"], "initial_data": {"$ref": REF.format(model=prefix)}}
    row["operationId"] = f"start_{_identifier(blueprint.name)}"
    row["summary"] = f"Start a job of {blueprint.name}"
    row["description"] = blueprint.description or ""
    row["parameters"] = _other_parameters(operation)
    row["requestBody"] = {"required": False, "content": {JSON: {"schema": body}}}
    return row


def _answers(answers: Iterable[Answer], models: ModelSchemas) -> dict[str, Any]:
    return {str(answer.status): _answer(answer, models) for answer in answers}


def _answer(answer: Answer, models: ModelSchemas) -> dict[str, Any]:
    if answer.model is None and answer.example is None:
        return {"description": answer.description}
    content: dict[str, Any] = {}
    if answer.model is not None:
        content["schema"] = models.answer(answer.model)
    else:
        content["schema"] = {"type": "string"}
    if answer.example is not None:
        content["example"] = answer.example
    return {"description": answer.description, "content": {answer.media_type: content}}


def _problems(codes: Iterable[ErrorCode], models: ModelSchemas) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(STATUS_OF[code], []).append(str(code))
    return {
        str(status): {
            "description": f"{reason(status)}: {', '.join(words)}",
            "content": {MEDIA_TYPE: {"schema": models.answer(Problem)}},
        }
        for status, words in sorted(by_status.items())
    }


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _other_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": parameter.name,
            "in": parameter.location,
            "required": False,
            "description": parameter.description,
            "schema": dict(parameter.schema),
        }
        for parameter in operation.parameters
    ]


def _unused(ids: set[str], tag: str, name: str, method: str, path: str) -> str:
    """An operation's id, and a member of *ids* from now on: no two rows, of whichever surface, may share one."""
    whole = f"{method.lower()}_{_identifier(path.strip('/'))}"
    found = next(choice for choice in (name, f"{tag}_{name}", f"{tag}_{name}_{whole}") if choice not in ids)
    ids.add(found)
    return found


def _has_required(operation: Operation) -> bool:
    return operation.body is not None and any(member.is_required() for member in operation.body.model_fields.values())


def _security(auth: Auth) -> list[dict[str, list[str]]]:
    if auth is Auth.NONE:
        return []
    if auth is Auth.WORKER:
        return [{"WorkerToken": []}]
    choices: list[dict[str, list[str]]] = [{name: []} for name in ("ClientToken", "ApiKey", "Bearer")]
    if auth in {Auth.CLIENT_IF_ANY, Auth.MONITOR}:
        choices.append({})  # nobody in particular, where the server is set up so
    return choices


def _security_schemes(api_key_header: str) -> dict[str, Any]:
    return {
        "ClientToken": {"type": "apiKey", "in": "header", "name": CLIENT_HEADER},
        "ApiKey": {"type": "apiKey", "in": "header", "name": api_key_header},
        "Bearer": {"type": "http", "scheme": "bearer"},
        "WorkerToken": {"type": "apiKey", "in": "header", "name": WORKER_HEADER},
    }


def _identifier(name: str) -> str:
    return "".join(character if character.isascii() and character.isalnum() else "_" for character in name)


def _relocated(schema: dict[str, Any], prefix: str, schemas: dict[str, Any]) -> Any:
    """*schema* with its `$defs` moved to *schemas* under names that begin with *prefix*."""
    definitions = schema.pop("$defs", {})
    for name, definition in definitions.items():
        schemas[f"{prefix}_{_identifier(name)}"] = _repointed(definition, prefix)
    return _repointed(schema, prefix)


def _repointed(value: Any, prefix: str) -> Any:
    if isinstance(value, list):
        return [_repointed(item, prefix) for item in value]
    if not isinstance(value, dict):
        return value
    moved = {key: _repointed(item, prefix) for key, item in value.items()}
    target = value.get("$ref")
    if isinstance(target, str) and target.startswith("#/$defs/"):
        moved["$ref"] = REF.format(model=f"{prefix}_{_identifier(target.removeprefix('#/$defs/'))}")
    return moved
