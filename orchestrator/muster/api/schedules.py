"""Routes of schedules: of connections that run by themselves."""

import secrets
from typing import Any

from aiohttp import web

from muster.api import schedule_models as sm
from muster.api.call import Call, json_answer
from muster.api.parameters import refused, whole
from muster.api.wire import time_text
from muster.core.ids import UnixMs
from muster.core.limits import PREVIEW_SLOTS_MAX
from muster.engine.firing import moment_text
from muster.engine.planning import SHOWN_SLOTS, ScheduleView
from muster.store.connection_records import Backfill, Slot

PREVIEWED = 10


async def list_schedules(call: Call) -> web.Response:
    """Of all connections that the caller sees; `recent` is told of one alone."""
    found = await call.engine.planning.schedules(call.tenant)
    return json_answer({"items": [_object(view) for view in found]})


async def get_schedule(call: Call) -> web.Response:
    return json_answer(_object(await call.engine.planning.schedule(call.tenant, call.path["name"])))


async def preview(call: Call) -> web.Response:
    """The next times at which it would run; nothing is changed by that."""
    given, after = call.query("count"), call.query("after")
    count = PREVIEWED if given is None else whole("count", given, minimum=1, maximum=PREVIEW_SLOTS_MAX)
    since = None if after is None else _moment("after", after)
    slots = await call.engine.planning.next(call.tenant, call.path["name"], count, since)
    return json_answer({"items": [moment_text(slot) for slot in slots]})


async def pause(call: Call) -> web.Response:
    """No slot is run until it is resumed; those of that time are not made up for."""
    body = call.body(sm.PauseSchedule)
    return json_answer(_object(await call.engine.planning.pause(call.tenant, call.path["name"], body.reason)))


async def resume(call: Call) -> web.Response:
    return json_answer(_object(await call.engine.planning.resume(call.tenant, call.path["name"])))


async def backfill(call: Call) -> web.Response:
    """Run slots of the past, in the background; each has one job at most, whoever asked for it."""
    body = call.body(sm.StartBackfill)
    plan = await call.engine.planning.backfill(
        call.tenant,
        call.path["name"],
        body.id or secrets.token_hex(8),
        _ms(body.from_.timestamp()),
        _ms(body.until.timestamp()),
        queue=body.overlap == "queue",
        dry_run=body.dry_run,
    )
    answer = {
        "total": len(plan.slots),
        "slots": [moment_text(slot) for slot in plan.slots[:SHOWN_SLOTS]],
        "backfill": None if plan.backfill is None else _backfill(plan.backfill),
    }
    return json_answer(answer, status=200 if plan.backfill is None else 202)


async def cancel_backfill(call: Call) -> web.Response:
    """Make no more jobs of it; those that there are go on."""
    return json_answer(_backfill(await call.engine.planning.cancel_backfill(call.tenant, call.path["name"])))


def _object(view: ScheduleView) -> dict[str, Any]:
    connection, pause = view.known.connection, view.pause
    return {
        "name": connection.name,
        "enabled": connection.enabled,
        "schedule": connection.schedule,
        "timezone": connection.timezone,
        "every": connection.every,
        "anchor": None if connection.anchor is None else connection.anchor.isoformat(),
        "overlap": connection.overlap,
        "catch_up": connection.catch_up,
        "late_seconds_max": connection.late_seconds_max,
        "jitter_seconds": connection.jitter_seconds,
        "next_run_at": time_text(view.next),
        "paused": None if pause is None else {"at": time_text(pause.at), "by": pause.by, "reason": pause.reason},
        "queued": [moment_text(slot) for slot in view.queued],
        "recent": [_slot(slot) for slot in view.recent],
        "backfill": None if view.backfill is None else _backfill(view.backfill),
    }


def _slot(slot: Slot) -> dict[str, Any]:
    late_ms = max(0, slot.dealt_at - slot.at) if slot.dealt_at else None
    return {
        "at": moment_text(slot.at),
        "outcome": slot.outcome,
        "detail": slot.detail,
        "late_seconds": None if late_ms is None else late_ms / 1000,
    }


def _backfill(fill: Backfill) -> dict[str, Any]:
    return {
        "id": fill.id,
        "from": moment_text(fill.start),
        "until": moment_text(fill.until),
        "state": fill.state,
        "overlap": "queue" if fill.queue else "allow",
        "total": fill.total,
        "made": fill.made,
        "already_there": fill.there,
        "refused": fill.refused,
        "detail": fill.detail,
        "by": fill.by,
    }


def _moment(name: str, text: str) -> UnixMs:
    moment = sm.read_moment(text)
    if moment is None:
        raise refused(name, text, "a moment with its time zone, for example 2026-03-01T00:00:00Z")
    return _ms(moment.timestamp())


def _ms(seconds: float) -> UnixMs:
    return UnixMs(round(seconds * 1000))
