"""What executions cost: day by day, and a guess for those to come."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any, Final

from aiohttp import web
from muster_worker.command.contract import COMMAND

from muster.api.call import Call, json_answer
from muster.api.parameters import refused, whole
from muster.engine.costs import DAYS_MAX
from muster.engine.views import WorkerView
from muster.store.index import DayCost
from muster.surfaces.executions.money import MICROS, display
from muster.surfaces.executions.runtimes import resolved

DAYS: Final = 7
"""From the first to the last day of a breakdown, where the caller does not say."""
ASSUMED_S: Final = 60
"""How long an execution takes of whose like none has finished yet."""
FILES_MAX: Final = 10**15
"""More digits than this has are no number of files."""
FIRST_DAY: Final = date(1970, 1, 1)
MS: Final = 1000
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


async def get_cost(call: Call) -> web.Response:
    """By day of creation, UTC, of ended executions; days without any are left out."""
    until = _day(call, "until", _today())
    since = _day(call, "since", until - timedelta(days=DAYS))
    if since > until:
        raise refused("since", since.isoformat(), f"a day up to {until.isoformat()}, which is `until`")
    rows = await _rows(call, since, until)
    by_date = [_day_object(day, [row for row in rows if row.day == day]) for day in _days_of(rows)]
    total_micros = sum(row.cost_micros for row in rows)
    return json_answer(
        {
            "start_date": since.isoformat(),
            "end_date": until.isoformat(),
            "total_cost_micros": total_micros,
            "total_cost_display": display(total_micros),
            "by_date": by_date,
            "total_executions": sum(row.jobs for row in rows),
        }
    )


async def _rows(call: Call, since: date, until: date) -> list[DayCost]:
    """Sums are kept for some days only: there is nothing from before those, and nothing from the future."""
    last = min(until, _today())
    first = max(since, last - timedelta(days=DAYS_MAX - 1))
    rows = await call.engine.costs(call.tenant, first, last) if first <= last else ()
    return [row for row in rows if _is_command(row.meter)]


async def get_estimate(call: Call) -> web.Response:
    """From the last 100 executions of the runtime and the prices of the workers that are there."""
    settings = call.edge.settings
    runtime = resolved(call.query("runtime"), settings.runtimes)
    files = _files(call)
    lasted_ms = await call.engine.durations(call.tenant, f"{COMMAND}|{runtime}")
    prices = [worker.offer.price_of(COMMAND) for worker in await call.engine.workers() if _offers(worker, runtime)]
    each_ms = median(lasted_ms) if lasted_ms else ASSUMED_S * MS
    price = median(prices) if prices else settings.price_per_second
    cost_micros = round(files * each_ms * price * MICROS / MS)
    return json_answer(
        {
            "estimated_executions": files,
            "estimated_duration_seconds": _seconds(each_ms),
            "estimated_total_duration_seconds": files * _seconds(each_ms),
            "estimated_cost_micros": cost_micros,
            "estimated_cost_display": display(cost_micros),
            "assumptions": [_about_time(len(lasted_ms), runtime), _about_price(len(prices), price, runtime)],
        }
    )


def _offers(worker: WorkerView, runtime: str) -> bool:
    return COMMAND in worker.supported_tasks and runtime in worker.runtimes


def _about_time(count: int, runtime: str) -> str:
    if not count:
        return f"no history: {ASSUMED_S} s assumed"
    return f"median duration of the last {count} completed executions with {runtime}"


def _about_price(count: int, price: float, runtime: str) -> str:
    if not count:
        return f"no worker with {runtime} is there: the configured price of €{price:g} per second"
    return f"median price of {count} workers with {runtime}: €{price:g} per second"


def _seconds(ms: float) -> float | int:
    return int(ms // MS) if ms % MS == 0 else ms / MS


def _files(call: Call) -> int:
    text = call.query("files")
    return 1 if text is None else whole("files", text, minimum=0, maximum=FILES_MAX)


def _day(call: Call, name: str, default: date) -> date:
    text = call.query(name)
    if text is None:
        return default
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if day < FIRST_DAY or _DATE.fullmatch(text) is None:
        raise refused(name, text, "a date such as 2024-01-15")
    return day


def _today() -> date:
    return datetime.fromtimestamp(time.time(), UTC).date()


def _is_command(meter: str) -> bool:
    return meter.partition("|")[0] == COMMAND


def _days_of(rows: list[DayCost]) -> list[date]:
    return sorted({row.day for row in rows}, reverse=True)


def _day_object(day: date, rows: list[DayCost]) -> Mapping[str, Any]:
    cost_micros = sum(row.cost_micros for row in rows)
    return {
        "date": day.isoformat(),
        "executions": sum(row.jobs for row in rows),
        "compute_time_seconds": (sum(row.run_ms for row in rows) + MS // 2) // MS,
        "cost_micros": cost_micros,
        "cost_display": display(cost_micros),
    }
