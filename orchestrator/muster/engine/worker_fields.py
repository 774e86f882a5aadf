"""A worker as the store keeps it, and as everybody else sees it."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from muster.core.ids import UnixMs
from muster.engine.offers import offer_of
from muster.engine.views import WorkerDescription, WorkerPatch, WorkerView

DRAINING: Final = "draining"
DRAIN: Final = "drain"
DISCONNECT: Final = "disconnect"
_PLAIN: Final = ("load", "max_concurrent_tasks", "cost_per_second")
_JSON: Final = ("supported_tasks", "current_tasks", "resources", "labels", "hot_cache")


def fields_of(worker: WorkerDescription) -> dict[str, str]:
    return {
        "worker_id": worker.worker_id,
        "supported_tasks": _json(list(worker.supported_tasks)),
        "max_concurrent_tasks": str(worker.max_concurrent_tasks),
        "cost_per_second": str(worker.cost_per_second),
        "protocol": str(worker.protocol),
        "facts": _json(dict(worker.facts)),
        "status": "idle",
        "load": "0",
        "current_tasks": "[]",
    }


def worker_view(fields: Mapping[str, str]) -> WorkerView:
    facts: dict[str, Any] = orjson.loads(fields.get("facts", "{}"))
    facts |= {name: orjson.loads(fields[name]) for name in ("resources", "labels", "hot_cache") if name in fields}
    types = tuple(orjson.loads(fields["supported_tasks"]))
    resources, price = facts.get("resources") or {}, float(fields["cost_per_second"])
    order = fields.get("order", "")
    return WorkerView(
        worker_id=fields["worker_id"],
        worker_type=facts.get("worker_type"),
        supported_tasks=types,
        status=DRAINING if order else fields["status"],
        load=float(fields["load"]),
        current_tasks=tuple(orjson.loads(fields["current_tasks"])),
        max_concurrent_tasks=int(fields["max_concurrent_tasks"]),
        cost_per_second=price,
        resources=resources,
        capabilities=facts.get("capabilities", {}),
        registered_at=UnixMs(int(fields.get("registered_at", 0))),
        last_seen_at=UnixMs(int(fields.get("last_seen_at", 0))),
        protocol=int(fields["protocol"]),
        runtimes=tuple(facts.get("runtimes", ())),
        labels=facts.get("labels") or {},
        order=order,
        ordered_slots=int(fields["order_slots"]) if fields.get("order_slots") else None,
        slowed=orjson.loads(fields["record"]) if fields.get("record") else {},
        offer=offer_of(fields["worker_id"], types, price, facts, resources),
        slots_per_task=facts.get("slots_per_task") or {},
    )


def patch_fields(patch: WorkerPatch) -> dict[str, str]:
    fields: dict[str, str] = {}
    if patch.status is not None:
        fields["status"] = patch.status
    for name in _PLAIN:
        value = getattr(patch, name)
        if value is not None:
            fields[name] = str(value)
    for name in _JSON:
        value = getattr(patch, name)
        if value is not None:
            fields[name] = _json(value if isinstance(value, Mapping) else list(value))
    return fields


def says_nothing_new(view: WorkerView, patch: WorkerPatch) -> bool:
    """Apart from the list of running tasks, which changes all the time and may be some seconds old."""
    names = ("status", "supported_tasks", "max_concurrent_tasks", "cost_per_second", "resources", "labels")
    return patch.hot_cache is None and all(getattr(patch, name) in (None, getattr(view, name)) for name in names)


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
