"""Routes of clients. A tenant sees its own jobs; another's job answers exactly as one that never was."""

import re
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from muster.api.approvals import view_of
from muster.api.call import Call, json_answer
from muster.api.models import CreateJob, Job, SignalData
from muster.api.parameters import refused, seconds, whole
from muster.api.ports import Blueprint
from muster.api.wire import dashboard_object, event_object, job_object, worker_object
from muster.blueprint.draw import dot, mermaid
from muster.blueprint.graphs import graph_json
from muster.core.ids import UnixMs
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine.searching import JobFilter
from muster.engine.versions import not_found
from muster.engine.views import JobOrder
from muster.errors import ErrorCode, MusterError

WAIT_SECONDS_MAX: Final = 60
PAGE_SIZE: Final = 50
PAGE_SIZE_MAX: Final = 200
VERSION_MAX: Final = 2**53 - 1
CURSOR_CHARACTERS_MAX: Final = 512
GRAPH_FORMATS: Final = ("dot", "mermaid", "json")
_TRACE_PARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACE_STATE: Final = re.compile(r"[\x20-\x7e]{1,512}")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{12}")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_PREFER_WAIT: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,6})\"?(?:$|[,;\s])", re.IGNORECASE)


def known_endpoint(call: Call) -> None:
    """Refuse an endpoint that no blueprint has, before its body is read."""
    if _blueprint_at(call) is None:
        raise MusterError(
            ErrorCode.NOT_FOUND,
            f"No blueprint is served at {call.request.path[:300]}.",
            hint="GET /api/v1/blueprints lists them with their endpoints.",
        )


async def create_job(call: Call) -> web.Response:
    """Start a job of the blueprint that is served at this URL."""
    body = call.body(CreateJob)
    blueprint = _blueprint_at(call)
    assert blueprint is not None, "known_endpoint has seen it"
    wait_seconds = _preferred_wait(call.request)
    submitted = await call.engine.submit(
        JobOrder(
            tenant=call.tenant,
            blueprint=blueprint.name,
            initial_data=body.initial_data,
            webhook_url=body.webhook_url,
            trace=_trace(call.request),
            idempotency_key=_idempotency_key(call.request),
            tags=tuple(body.tags),
            deadline_ms=None if body.deadline_seconds is None else round(body.deadline_seconds * 1000),
            wait_ms=wait_seconds * 1000,
            unique=None if body.unique is None else body.unique.value(),
            debounce=None if body.debounce is None else body.debounce.value(),
            **call.admission,
        )
    )
    headers = {"Location": f"/api/{call.path['api_version']}/jobs/{submitted.job_id}"}
    if wait_seconds:
        headers["Preference-Applied"] = f"wait={wait_seconds}"
    if submitted.record is not None and submitted.record.status.is_final:
        return json_answer(await shown_job(call, submitted.record), headers=headers)
    return json_answer({"status": "accepted", "job_id": submitted.job_id}, status=202, headers=headers)


async def get_job(call: Call) -> web.Response:
    job_id = call.path["job_id"]
    wait, since, fields = call.query("wait"), call.query("since"), _fields(call.query("fields"))
    since_version = None if since is None else whole("since", since, minimum=0, maximum=VERSION_MAX)
    if wait is None:
        record = await call.engine.job(call.tenant, job_id)
    else:
        timeout_ms = round(seconds("wait", wait, maximum=WAIT_SECONDS_MAX) * 1000)
        record = await call.engine.wait(call.tenant, job_id, timeout_ms=timeout_ms, since=since_version)
    shown = await shown_job(call, record)
    return json_answer(shown if fields is None else {name: shown[name] for name in fields})


async def list_jobs(call: Call) -> web.Response:
    limit = call.query("limit")
    cursor = call.query("cursor")
    if cursor is not None and not 0 < len(cursor) <= CURSOR_CHARACTERS_MAX:
        raise refused("cursor", cursor, "the `next` of an earlier page")
    size = PAGE_SIZE if limit is None else whole("limit", limit, minimum=1, maximum=PAGE_SIZE_MAX)
    statuses, blueprint, tag = statuses_of(call.query("status")), call.query("blueprint") or None, call.query("tag")
    wanted = JobFilter(statuses, blueprint, tag or None, *_more_wanted(call))
    if wanted.wants_failures or (wanted != JobFilter(statuses, blueprint) and wanted != JobFilter(tag=tag)):
        page = await call.engine.operations.searching.search(call.tenant, wanted, limit=size, cursor=cursor)
    elif tag:
        page = await call.engine.tagged(call.tenant, tag, limit=size, cursor=cursor)
    else:
        page = await call.engine.jobs(call.tenant, limit=size, cursor=cursor, statuses=statuses, blueprint=blueprint)
    return json_answer({"items": [await shown_job(call, record) for record in page.items], "next": page.next})


def _more_wanted(call: Call) -> tuple[str | None, *tuple[UnixMs | None, ...]]:
    """Error and times of a filter, in the order of `JobFilter`."""
    error = call.query("error") or None
    if error is not None and _FINGERPRINT.fullmatch(error) is None:
        raise refused("error", error, "the `error_fingerprint` of a job: 12 hex digits")
    names = ("created_since", "created_until", "finished_since", "finished_until")
    return error, *(_moment(name, call.query(name)) for name in names)


def _moment(name: str, text: str | None) -> UnixMs | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return UnixMs(int(aware.timestamp() * 1000))
    except (ValueError, OverflowError):
        raise refused(name, text, "a moment, for example 2026-01-31 or 2026-01-31T10:30:00Z") from None


async def delete_job(call: Call) -> web.Response:
    """Cancel the job if it is active, wait for its end, and forget it with everything of it."""
    await call.engine.delete(call.tenant, call.path["job_id"])
    return web.Response(status=204)


async def cancel_job(call: Call) -> web.Response:
    sent = await call.engine.cancel(call.tenant, call.path["job_id"])
    return json_answer({"status": f"cancellation_request_{'sent' if sent else 'accepted'}"})


async def get_history(call: Call) -> web.Response:
    events = await call.engine.history(call.tenant, call.path["job_id"])
    return json_answer([event_object(event) for event in events])


async def send_signal(call: Call) -> web.Response:
    job_id = call.path["job_id"]
    await call.engine.signal(call.tenant, job_id, call.path["name"], call.body(SignalData).root)
    return json_answer({"status": "signal_received", "job_id": job_id})


async def list_blueprints(call: Call) -> web.Response:
    registry = call.engine.blueprints
    found = (registry.get(name) for name in registry.names())
    return json_answer({"items": [_summary(blueprint) for blueprint in found if blueprint is not None]})


async def get_graph(call: Call) -> web.Response:
    wanted = call.query("format") or "dot"
    if wanted not in GRAPH_FORMATS:
        raise refused("format", wanted, f"one of {', '.join(GRAPH_FORMATS)}")
    name = call.path["blueprint_name"]
    version = call.query("version")
    blueprint = call.engine.blueprints.get(name) if version is None else call.engine.versions.version(name, version)
    if blueprint is None:
        raise not_found(name)
    if wanted == "json":
        return web.Response(body=graph_json(blueprint.graph), headers={"Content-Type": "application/json"})
    if wanted == "mermaid":
        return web.Response(text=mermaid(blueprint.graph), content_type="text/vnd.mermaid", charset="utf-8")
    return web.Response(body=dot(blueprint.graph).encode(), headers={"Content-Type": "text/vnd.graphviz"})


async def list_workers(call: Call) -> web.Response:
    return json_answer([worker_object(worker) for worker in await call.engine.workers()])


async def get_webhook_secret(call: Call) -> web.Response:
    """What the client verifies the signatures of its webhooks with."""
    return json_answer({"secret": call.engine.webhook_secret(call.tenant)})


async def get_dashboard(call: Call) -> web.Response:
    return json_answer(dashboard_object(await call.engine.dashboard()))


def _blueprint_at(call: Call) -> Blueprint | None:
    return call.engine.blueprints.by_endpoint(call.path["api_version"], call.path["endpoint"])


async def shown_job(call: Call, record: JobRecord) -> dict[str, object]:
    if record.resting is not JobStatus.WAITING_FOR_HUMAN or record.asked is None:
        return job_object(record)
    view = view_of(call, record)
    return job_object(record, {"approval_token": view.token, **view.members()})


def _summary(blueprint: Blueprint) -> dict[str, object]:
    return {
        "name": blueprint.name,
        "version": blueprint.version,
        "endpoint": blueprint.endpoint,
        "url": f"/api/{blueprint.api_version}/{blueprint.endpoint}",
        "states": blueprint.graph.states,
        "input_schema": blueprint.input_schema(),
        "output_schema": blueprint.output_schema(),
    }


def statuses_of(text: str | None) -> frozenset[JobStatus] | None:
    if not text:
        return None
    words = {word.strip() for word in text.split(",")}
    unknown = sorted(words - {status.value for status in JobStatus})
    if unknown:
        allowed = ", ".join(status.value for status in JobStatus)
        raise refused("status", unknown[0], f"a status; there are {allowed}")
    return frozenset(JobStatus(word) for word in words)


def _fields(text: str | None) -> tuple[str, ...] | None:
    """Members of a job, in the order of `?fields=`; None where all are wanted."""
    if text is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    unknown = [name for name in names if name not in Job.model_fields]
    if unknown:
        raise refused("fields", unknown[0], f"a member of a job; there are {', '.join(Job.model_fields)}")
    return names


def _idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and _KEY.fullmatch(key) is None:
        raise refused("Idempotency-Key", key, "1 to 255 printable ASCII characters without blanks")
    return key


def _preferred_wait(request: web.Request) -> int:
    """Seconds of `Prefer: wait=` (RFC 7240); a preference that cannot be read is no preference."""
    found = _PREFER_WAIT.search(request.headers.get("Prefer", ""))
    return 0 if found is None else min(int(found[1]), WAIT_SECONDS_MAX)


def _trace(request: web.Request) -> dict[str, str]:
    """The W3C trace context, and no other header: what goes in here is handed to workers."""
    parent = request.headers.get("traceparent", "")
    if _TRACE_PARENT.fullmatch(parent) is None:
        return {}
    state = request.headers.get("tracestate", "")
    return {"traceparent": parent, **({"tracestate": state} if _TRACE_STATE.fullmatch(state) else {})}
