"""How the server is: its parts, its figures, what it keeps for the caller; and tidying up on demand."""

import asyncio
from typing import Any, Final

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.wire import time_text
from muster.core.status import JobStatus
from muster.engine.figures import Census
from muster.store.base import StoreUnavailable
from muster.store.figures import StoreFacts
from muster.surfaces.monitor.clients import CLIENTS
from muster.surfaces.monitor.envelope import answer, enveloped, now_text
from muster.surfaces.monitor.machine import Machine, can_be_written, look_at, uptime_s
from muster.version import product_version

_MIB: Final = 1_048_576


async def health(call: Call) -> web.Response:
    """Whether the parts work; 503 where one does not."""
    connected, running = await _parts(call)
    accessible = await call.engine.files.is_accessible()
    accessible = accessible and await asyncio.to_thread(can_be_written, call.edge.settings.files_folder)
    is_well = connected and running and accessible
    data = {
        "status": "healthy" if is_well else "unhealthy",
        "timestamp": now_text(),
        "version": product_version(),
        "uptime_seconds": uptime_s(),
        "database": "connected" if connected else "disconnected",
        "websocket": "running" if running else "stopped",
        "storage": "accessible" if accessible else "inaccessible",
    }
    if is_well:
        return answer(data)
    return json_answer({**enveloped(data, "A part of the server does not work."), "success": False}, status=503)


async def status(call: Call) -> web.Response:
    """Load of the machine, state of the store, connected clients."""
    machine, (connected, running), facts = await asyncio.gather(_machine(call), _parts(call), _facts_or_none(call))
    return answer(
        {
            "system": {
                "cpu_percent": machine.cpu_percent,
                "memory_percent": machine.memory_percent,
                "disk_usage_percent": machine.disk_usage_percent,
                "load_average": machine.load_average,
            },
            "database": {
                "status": "connected" if connected else "disconnected",
                "size_mb": 0.0 if facts is None else _mib(facts),
                "wal_mode": facts is not None and facts.durability == "aof",
                "cache_hit_ratio": 0.0 if facts is None else round(facts.hit_ratio, 4),
            },
            "websocket": {
                "status": "running" if running else "stopped",
                "connected_clients": CLIENTS.connected,
                "total_messages": CLIENTS.messages,
            },
        }
    )


async def metrics(call: Call) -> web.Response:
    """Figures of the machine and the store, and how much the store keeps for the caller."""
    return answer(await _metrics(call))


async def database(call: Call) -> web.Response:
    """What the store keeps for the caller."""
    facts, census = await asyncio.gather(call.engine.figures.facts(), call.engine.figures.census(call.tenant))
    return answer(
        {
            "total_executions": census.total,
            "running_executions": census.begun,
            "completed_executions": census.count(JobStatus.FINISHED),
            "failed_executions": census.count(JobStatus.FAILED, JobStatus.QUARANTINED),
            "total_steps": census.steps,
            "total_artifacts": census.artifacts,
            "database_size_mb": _mib(facts),
            "oldest_execution": time_text(census.oldest),
            "newest_execution": time_text(census.newest),
        }
    )


async def optimize(call: Call) -> web.Response:
    """Remove now what is removed now and then anyway, and show the figures afterwards."""
    done = await call.engine.figures.tidy_up()
    return answer(
        {
            "status": "optimization_completed",
            "timestamp": now_text(),
            "operations_performed": list(done),
            "metrics": await _metrics(call),
        }
    )


async def _metrics(call: Call) -> dict[str, Any]:
    figures, settings = call.engine.figures, call.edge.settings
    machine, facts, census = await asyncio.gather(_machine(call), figures.facts(), figures.census(call.tenant))
    folder = settings.files_folder
    return {
        "timestamp": now_text(),
        "database": {
            "database_size_bytes": facts.used_bytes,
            "database_size_mb": _mib(facts),
            "table_counts": _tables(census),
            "wal_mode": facts.durability,
            "cache_size": facts.keys,
            "storage_path": folder.name if settings.is_production else settings.files_url or str(folder),
        },
        "system": {
            "cpu_percent": machine.cpu_percent,
            "memory_percent": machine.memory_percent,
            "disk_usage_percent": machine.disk_usage_percent,
            "open_connections": machine.open_connections,
        },
        "uptime_seconds": uptime_s(),
    }


def _tables(census: Census) -> dict[str, int]:
    return {"executions": census.total, "steps": census.steps, "artifacts": census.artifacts}


async def _machine(call: Call) -> Machine:
    return await asyncio.to_thread(look_at, call.edge.settings.files_folder)


async def _parts(call: Call) -> tuple[bool, bool]:
    """Whether the store answers, and whether sockets are served: not any more by a server that stops."""
    if await call.engine.ready():
        return True, True
    connected = await call.engine.figures.answers()
    return connected, not connected


async def _facts_or_none(call: Call) -> StoreFacts | None:
    try:
        return await call.engine.figures.facts()
    except StoreUnavailable:
        return None


def _mib(facts: StoreFacts) -> float:
    return round(facts.used_bytes / _MIB, 2)
