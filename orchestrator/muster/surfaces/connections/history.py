"""Runs that have ended."""

from typing import Any, Final

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.wire import time_text
from muster.core.connection import Connection, name_of_run
from muster.core.record import JobRecord
from muster.surfaces.command_job import labels_of, text_of
from muster.surfaces.connections.outcome import number_of_run, result_of
from muster.surfaces.connections.parameters import bounded

LIMIT: Final = 10
LIMIT_MAX: Final = 1_000


async def list_history(call: Call) -> web.Response:
    """The caller's runs, and scheduled ones of connections that the caller sees, newest first."""
    limit = bounded("limit", call.query("limit"), default=LIMIT, minimum=1, maximum=LIMIT_MAX)
    if not call.edge.settings.history_enabled:
        return json_answer([])
    connections = call.engine.connections
    known = {one.connection.name: one.connection for one in await connections.seen_by(call.tenant)}
    return json_answer([_entry(record, known) for record in await connections.history(call.tenant, limit)])


def _entry(record: JobRecord, known: dict[str, Connection]) -> dict[str, Any]:
    name = name_of_run(record.submission.tags) or ""
    kind, schema = _kind_and_schema(record, known.get(name))
    result = result_of(record)
    return {
        "id": number_of_run(record.id),
        "run_id": record.id,
        "connection_name": name,
        "connection_type": kind,
        "schema_name": schema or name,
        "success": result["success"],
        "started_at": time_text(record.started_at or record.created_at),
        "finished_at": time_text(record.finished_at),
        "duration_ms": result["duration_ms"],
        "attempts": result["attempts"],
        "error": result["error"],
        "progress_counts": result["progress_counts"],
    }


def _kind_and_schema(record: JobRecord, connection: Connection | None) -> tuple[str, str]:
    """As they were at the run; of another blueprint than `command` as they are now."""
    labels = labels_of(record)
    kind, schema = text_of(labels, "type"), text_of(labels, "schema")
    if kind is not None and schema is not None:
        return kind, schema
    if connection is not None:
        return connection.type, connection.schema_name
    return record.blueprint, ""
