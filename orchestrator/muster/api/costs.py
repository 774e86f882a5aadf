"""Routes of what a client's jobs cost."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.parameters import refused

DAYS_BACK: Final = 7
FIRST_DAY: Final = date(1970, 1, 1)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


async def get_cost_days(call: Call) -> web.Response:
    """Cost of one's jobs by the day they were created, newest first, and by what they ran."""
    today = datetime.now(UTC).date()
    until = _day(call, "until", today)
    since = _day(call, "since", max(FIRST_DAY, until - timedelta(days=DAYS_BACK)))
    costs = await call.engine.costs(call.tenant, since, until)
    days = [
        {
            "date": cost.day.isoformat(),
            "meter": cost.meter,
            "jobs": cost.jobs,
            "run_ms": cost.run_ms,
            "cost_micros": cost.cost_micros,
        }
        for cost in costs
    ]
    return json_answer({"days": days, "total_cost_micros": sum(cost.cost_micros for cost in costs)})


def _day(call: Call, name: str, default: date) -> date:
    text = call.query(name)
    if not text:
        return default
    try:
        day = date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None or day < FIRST_DAY:
        raise refused(name, text, "a day from 1970-01-01, for example 2026-01-31")
    return day
