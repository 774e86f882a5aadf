"""Routes of blueprints: read them, save those that are data, and say with which version new jobs begin."""

import re
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from muster.api.blueprint_models import Migrate, PutRollout
from muster.api.body import parse_json, read_bytes
from muster.api.call import Call, json_answer
from muster.api.operations import JSON, KIBIBYTE
from muster.api.parameters import refused, whole
from muster.api.wire import time_text
from muster.blueprint.data.definition import DataBlueprint
from muster.blueprint.data.yaml_text import YamlRefused, read_yaml
from muster.blueprint.problems import Problem
from muster.core.blueprint_head import BlueprintHead
from muster.engine.migrations import Order
from muster.engine.versions import Condition, Known, invalid
from muster.errors import ErrorCode, MusterError

YAML: Final = "application/yaml"
SPEC_MEDIA_TYPES: Final = (JSON, YAML)
_YAML_NAMES: Final = frozenset({YAML, "application/x-yaml", "text/yaml", "text/x-yaml", "text/vnd.yaml"})
SPEC_BYTES: Final = 1024 * KIBIBYTE
"""Of the body: comments and indentation of YAML are not kept."""
_ETAG: Final = re.compile(r'(?:W/)?"([^"]*)"|\*')


async def get_blueprint(call: Call) -> web.Response:
    """A blueprint: the version that new jobs begin with, or the one that is asked for."""
    known = call.engine.versions.known(call.path["blueprint_name"])
    wanted = call.query("version")
    blueprint = known.blueprint if wanted is None else call.engine.versions.version(known.name, wanted)
    headers = {} if known.blueprint is None else {"ETag": f'"{known.blueprint.version}"'}
    shown: dict[str, Any] = {
        "name": known.name,
        "version": None if blueprint is None else blueprint.version,
        "source": "api" if known.is_data else "code",
        "in_service": known.blueprint is not None,
        "versions": _versions(known),
        "rollout": rollout_object(known.head),
    }
    if blueprint is not None:
        shown |= {
            "url": f"/api/{blueprint.api_version}/{blueprint.endpoint}",
            "description": blueprint.description,
            "states": list(blueprint.graph.states),
            "input_schema": blueprint.input_schema(),
            "output_schema": blueprint.output_schema(),
            "spec": blueprint.to_dict() if isinstance(blueprint, DataBlueprint) else None,
        }
    return json_answer(shown, headers=headers)


async def put_blueprint(call: Call) -> web.Response:
    """Save a blueprint that is data. New jobs begin with it at once, or a share of them; others stay as they began."""
    name = call.path["blueprint_name"]
    share = call.query("share")
    percent = 100 if share is None else _share(share)
    spec = await _spec(call, name)
    draft = call.engine.versions.draft(name, spec)
    problems = [Problem(name, "", 0, text, "", "/endpoint") for text in call.edge.router.problems_of(draft)]
    if problems:
        raise invalid(name, problems)
    saved = await call.engine.versions.put(draft, by=call.tenant, share=percent, condition=_condition(call))
    body = {
        "name": name,
        "version": saved.blueprint.version,
        "url": f"/api/{draft.api_version}/{draft.endpoint}",
        "is_new": saved.is_new,
        "rollout": rollout_object(saved.head),
    }
    headers = {"ETag": f'"{saved.head.current}"', "Location": f"/api/v1/blueprints/{name}"}
    return json_answer(body, status=201 if saved.is_new else 200, headers=headers)


async def delete_blueprint(call: Call) -> web.Response:
    """Take a blueprint that is data out of service. Its jobs go on."""
    await call.engine.versions.delete(call.path["blueprint_name"], _condition(call))
    return web.Response(status=204)


async def put_rollout(call: Call) -> web.Response:
    """Let a share of new jobs begin with a version, and the others with the one they begin with now."""
    body = call.body(PutRollout)
    head = await call.engine.versions.roll_out(call.path["blueprint_name"], body.version, body.share)
    return json_answer(rollout_object(head))


async def get_rollout(call: Call) -> web.Response:
    known = call.engine.versions.known(call.path["blueprint_name"])
    if known.head.rollout is None:
        raise MusterError(ErrorCode.ROLLOUT_NOT_FOUND, f"No rollout of blueprint {known.name!r} is under way.")
    return json_answer(rollout_object(known.head))


async def promote_rollout(call: Call) -> web.Response:
    """All new jobs begin with the rollout's version."""
    await call.engine.versions.end_rollout(call.path["blueprint_name"], promote=True)
    return await _after_rollout(call)


async def abort_rollout(call: Call) -> web.Response:
    """No new jobs begin with the rollout's version."""
    await call.engine.versions.end_rollout(call.path["blueprint_name"], promote=False)
    return await _after_rollout(call)


async def _after_rollout(call: Call) -> web.Response:
    known = call.engine.versions.known(call.path["blueprint_name"])
    return json_answer({"version": None if known.blueprint is None else known.blueprint.version})


async def migrate_jobs(call: Call) -> web.Response:
    """Move running jobs to another version, or say what would become of them; a page a request."""
    body = call.body(Migrate)
    order = Order(body.to, body.source, body.map, body.dry_run, body.limit)
    page = await call.engine.migrate(call.path["blueprint_name"], order, body.cursor)
    states = sorted({*page.moved, *page.stayed})
    return json_answer(
        {
            "to": page.to,
            "dry_run": body.dry_run,
            "states": [
                {"state": state, "moved": page.moved[state], "stayed": dict(page.stayed.get(state, {}))}
                for state in states
            ],
            "stayed": [
                {"job_id": one.job, "state": one.state, "code": one.code, "detail": one.detail} for one in page.refused
            ],
            "next": page.next,
        }
    )


def rollout_object(head: BlueprintHead) -> dict[str, Any] | None:
    rollout = head.rollout
    return None if rollout is None else {"version": rollout.version, "share": rollout.share, "base": rollout.base}


def _versions(known: Known) -> list[dict[str, Any]]:
    saved = known.head.versions
    return [
        {
            "version": version,
            "saved_at": time_text(saved[version].at) if version in saved else None,
            "saved_by": saved[version].by if version in saved else None,
        }
        for version in dict.fromkeys([*saved, *known.versions])
    ]


async def _spec(call: Call, name: str) -> Any:
    """The body as JSON or YAML, by its media type. Raises: MusterError BLUEPRINT_INVALID, MALFORMED_JSON."""
    data = await read_bytes(call.request, min(SPEC_BYTES, call.edge.settings.max_body_bytes))
    kind = call.request.content_type.lower()
    if kind in _YAML_NAMES:
        try:
            return read_yaml(data.decode()).value
        except UnicodeDecodeError as error:
            raise MusterError(ErrorCode.MALFORMED_JSON, "The body is not UTF-8.") from error
        except YamlRefused as refusal:
            where = f" (line {refusal.line}, column {refusal.column})" if refusal.line else ""
            raise invalid(name, [Problem(name, "", refusal.line, f"{refusal}{where}")]) from refusal
    return parse_json(data)


def _share(text: str) -> int:
    share = whole("share", text, minimum=1, maximum=101)
    if share > 100:
        raise refused("share", text, "a whole number of percent, 1 to 100")
    return share


def _condition(call: Call) -> Condition:
    """`If-Match` and `If-None-Match: *` (RFC 9110)."""
    headers: Mapping[str, str] = call.request.headers
    match, none = headers.get("If-Match"), headers.get("If-None-Match")
    if none is not None and none.strip() != "*":
        raise refused("If-None-Match", none, "*")
    if match is None:
        return Condition(is_new=none is not None)
    found = _ETAG.fullmatch(match.strip())
    if found is None:
        raise refused("If-Match", match, 'the ETag of an answer, such as "3:0f3a9c2e", or *')
    return Condition(version=found[1] or "*", is_new=none is not None)
