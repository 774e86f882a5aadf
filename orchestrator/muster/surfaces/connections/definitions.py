"""Which connections there are, and how each one's last run ended."""

import asyncio
from typing import Any

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.wire import time_text
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine.connections import Known
from muster.surfaces.connections.outcome import attempts_of, duration_ms, error_of
from muster.surfaces.connections.parameters import flag


async def list_connections(call: Call) -> web.Response:
    """All that the caller sees: the server's, in its file's order, then the caller's own."""
    return json_answer(await _entries(call, await call.engine.connections.seen_by(call.tenant)))


async def list_pipelines(call: Call) -> web.Response:
    """The same under another name; with `only_enabled` without those that are switched off."""
    only_enabled = flag("only_enabled", call.query("only_enabled"))
    known = await call.engine.connections.seen_by(call.tenant)
    return json_answer(await _entries(call, [one for one in known if one.connection.enabled or not only_enabled]))


async def get_status(call: Call) -> web.Response:
    """The connection, and its newest run that has ended."""
    known = await call.engine.connections.find(call.tenant, call.path["name"])
    last = await call.engine.connections.last_ended(call.tenant, known)
    entry = _entry(known, last)
    if not call.edge.settings.history_enabled:
        last = None
    return json_answer(
        {
            **entry,
            "last_run_success": None if last is None else last.status is JobStatus.FINISHED,
            "last_run_error": None if last is None else error_of(last),
            "last_run_duration_ms": None if last is None else duration_ms(last),
            "last_run_attempts": None if last is None else attempts_of(last),
        }
    )


async def _entries(call: Call, known: "tuple[Known, ...] | list[Known]") -> list[dict[str, Any]]:
    ended = await asyncio.gather(*(call.engine.connections.last_ended(call.tenant, one) for one in known))
    return [_entry(one, last) for one, last in zip(known, ended, strict=True)]


def _entry(known: Known, last: JobRecord | None) -> dict[str, Any]:
    connection = known.connection
    return {
        "name": connection.name,
        "type": connection.type,
        "enabled": connection.enabled,
        "schema_name": connection.schema_name,
        "last_run_at": None if last is None else time_text(last.finished_at),
    }
