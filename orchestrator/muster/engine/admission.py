"""A wish with a quota, a unique key or a debounce key, as the store checks it."""

import hashlib
import math
from typing import Final

from muster.core.admission import Quota
from muster.engine.views import JobOrder
from muster.errors import ErrorCode, MusterError
from muster.store.admission import Admission, Limited
from muster.store.keys import short_hash

UNKNOWN_RETRY_S: Final = 5
"""When a job ends nobody knows."""


def admission_of(order: JobOrder) -> Admission | None:
    """None: there is nothing to check."""
    quota, unique, debounce = order.quota, order.unique, order.debounce
    if quota is None and unique is None and debounce is None:
        return None
    return Admission(
        client="" if quota is None else client_hash(order.tenant, quota),
        live_max=0 if quota is None else quota.live_max or 0,
        queued_max=0 if quota is None else quota.queued_max or 0,
        interval_us=0 if quota is None or quota.per_second is None else max(1, round(1e6 / quota.per_second)),
        burst=1 if quota is None else quota.burst,
        unique="" if unique is None else _hash(order, "unique", unique.key),
        unique_ms=0 if unique is None or unique.seconds is None else unique.seconds * 1000,
        replaces=unique is not None and unique.on_conflict == "replace",
        debounce="" if debounce is None else _hash(order, "debounce", debounce.key),
        delay_ms=0 if debounce is None else debounce.delay_ms,
        most_ms=0 if debounce is None else debounce.most_ms,
    )


def meeting_point(order: JobOrder) -> str | None:
    """What all orders have in common that must know of each other; None: there are none such."""
    if order.at_home:
        return order.tenant
    if order.unique is not None:
        return f"{order.tenant}\0{order.blueprint}\0{order.unique.key}"
    if order.debounce is not None:
        return f"{order.tenant}\0{order.blueprint}\0{order.debounce.key}"
    return f"{order.tenant}\0{order.idempotency_key}" if order.idempotency_key else None


def partition_for(meeting: str, partitions: int) -> int:
    """The same for the same meeting point, evenly spread over all."""
    return int.from_bytes(hashlib.blake2b(meeting.encode(), digest_size=4).digest()) % partitions


def client_hash(tenant: str, quota: Quota) -> str:
    return short_hash(f"{tenant}\0client\0{quota.client}")


def _hash(order: JobOrder, kind: str, key: str) -> str:
    return short_hash(f"{order.tenant}\0{kind}\0{order.blueprint}\0{key}")


def limit_reached(quota: Quota, limited: Limited) -> MusterError:
    """What the client is told: which limit it was, and when to come again."""
    rate = "" if quota.per_second is None else f"{quota.per_second:g} jobs a second, {quota.burst} at once"
    text = {
        "rate": f"may submit {rate}",
        "live": f"has {quota.live_max} live jobs, which is the most",
        "queued": f"has {quota.queued_max} jobs that have not begun, which is the most",
    }[limited.why]
    return MusterError(
        ErrorCode.CLIENT_LIMIT_REACHED,
        f"Client {quota.client!r} {text}.",
        hint="Wait as long as Retry-After says; whoever runs the server sets the limits in the clients file.",
        extra={"limit": limited.why},
        retry_after_s=math.ceil(limited.retry_ms / 1000) if limited.retry_ms else UNKNOWN_RETRY_S,
    )
