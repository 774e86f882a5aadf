"""Routes of saved connections. A tenant sees its own and those of the server's file that are for it."""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web
from muster_worker.command.contract import COMMAND

from muster.api.call import Call, json_answer
from muster.api.connection_models import SaveConnection
from muster.api.wire import time_text
from muster.core.ids import UnixMs
from muster.core.record import JobRecord
from muster.engine.connections import Known
from muster.errors import ErrorCode, MusterError
from muster.store.connection_records import Slot

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


async def list_connections(call: Call) -> web.Response:
    """The file's in its order, then one's own, oldest first."""
    known = await call.engine.connections.seen_by(call.tenant)
    return json_answer({"items": await _shown(call, known)})


async def get_connection(call: Call) -> web.Response:
    known = await call.engine.connections.find(call.tenant, call.path["name"])
    return json_answer((await _shown(call, [known]))[0])


async def create_connection(call: Call) -> web.Response:
    """Save a connection under a name that is not taken."""
    known = await call.engine.connections.create(call.tenant, call.body(SaveConnection).given())
    headers = {"Location": f"/api/v1/connections/{known.connection.name}"}
    return json_answer((await _shown(call, [known]))[0], status=201, headers=headers)


async def put_connection(call: Call) -> web.Response:
    """Save a connection, in place of the one of that name if there is one."""
    known = await call.engine.connections.put(call.tenant, call.path["name"], call.body(SaveConnection).given())
    return json_answer((await _shown(call, [known]))[0])


async def delete_connection(call: Call) -> web.Response:
    """Forget a connection. Its runs stay, and go on."""
    await call.engine.connections.delete(call.tenant, call.path["name"])
    return web.Response(status=204)


async def start_connection(call: Call) -> web.Response:
    """Run a connection now, whether or not it is enabled. The run is a job."""
    key = call.request.headers.get("Idempotency-Key")
    if key is not None and _KEY.fullmatch(key) is None:
        raise MusterError(ErrorCode.INVALID_PARAMETER, "Idempotency-Key must be 1 to 255 visible ASCII characters.")
    submitted = await call.engine.connections.run(call.tenant, call.path["name"], key=key)
    headers = {"Location": f"/api/v1/jobs/{submitted.job_id}"}
    return json_answer({"status": "accepted", "job_id": submitted.job_id}, status=202, headers=headers)


async def _shown(call: Call, known: Sequence[Known]) -> list[dict[str, Any]]:
    connections = call.engine.connections
    ended = await asyncio.gather(*(connections.last_ended(call.tenant, one) for one in known))
    slots = await connections.slots() if any(one.connection.timing is not None for one in known) else {}
    now = UnixMs(int(time.time() * 1000))
    return [connection_object(one, run, slots.get(one.key), now) for one, run in zip(known, ended, strict=True)]


def connection_object(known: Known, ended: JobRecord | None, slot: Slot | None, now: UnixMs) -> dict[str, Any]:
    timing = known.connection.timing
    return {
        **_facts(known),
        "source": "file" if known.is_configured else "api",
        "changed_at": time_text(known.changed_at),
        "next_run_at": None if timing is None else time_text(timing.next(now)),
        "last_run": None if ended is None else _run_object(ended),
        "last_slot": None if slot is None or slot.outcome == "seen" else _slot_object(slot),
    }


def _facts(known: Known) -> dict[str, Any]:
    """Of the server's file without what is the server's business: who else sees it, and what its variables hold."""
    facts = known.connection.facts()
    if not known.is_configured:
        return facts
    del facts["clients"]
    inputs = [facts["command"], facts["initial_data"] if known.connection.blueprint == COMMAND else None]
    for given in inputs:
        if given is not None and isinstance(given.get("environment"), dict):
            given["environment"] = dict.fromkeys(given["environment"])
    return facts


def _run_object(record: JobRecord) -> dict[str, Any]:
    return {
        "job_id": record.id,
        "status": record.status,
        "started_at": time_text(record.started_at or record.created_at),
        "finished_at": time_text(record.finished_at),
        "error": record.error,
    }


def _slot_object(slot: Slot) -> dict[str, Any]:
    return {"at": time_text(slot.at), "outcome": slot.outcome, "detail": slot.detail}
