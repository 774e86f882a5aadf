"""Routes that operate on jobs: pause and resume them, start them again."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.client import shown_job, statuses_of
from muster.api.logs import line_object
from muster.api.operation_models import BulkJobs, PauseJob, ResumeJob, RetryJob, Wanted
from muster.api.parameters import refused
from muster.api.wire import event_object, job_object, time_text
from muster.core.ids import UnixMs
from muster.engine.clock import unix_ms
from muster.engine.many_jobs import Action, BulkOrder
from muster.engine.retrying import Given, RetryOrder
from muster.engine.searching import ErrorGroup, JobFilter

LOG_LINES_MAX: Final = 1_000
"""Of a job's log, the newest, in its case file."""
ERROR_GROUPS: Final = 50
ERROR_DAYS_MAX: Final = 31


async def pause_job(call: Call) -> web.Response:
    """Hold a job: nothing of it is decided or handed out until it is resumed."""
    body = call.body(PauseJob)
    record = await call.engine.operations.pausing.pause(
        call.tenant, call.path["job_id"], by=body.by or call.tenant, reason=body.reason
    )
    return json_answer(await shown_job(call, record))


async def resume_job(call: Call) -> web.Response:
    """Let go of a paused job; what came in meanwhile counts now."""
    by = call.body(ResumeJob).by or call.tenant
    record = await call.engine.operations.pausing.resume(call.tenant, call.path["job_id"], by=by)
    return json_answer(await shown_job(call, record))


async def retry_job(call: Call) -> web.Response:
    """Start a job that is over again, in one of its states."""
    body = call.body(RetryJob)
    given = body.model_fields_set
    order = RetryOrder(
        state=body.state,
        argument=Given(body.argument) if "argument" in given else None,
        data=Given(body.data) if "data" in given else None,
        new=body.new,
        newest=body.version == "newest",
        by=body.by or call.tenant,
        key=body.key,
    )
    record = await call.engine.operations.retrying.retry(call.tenant, call.path["job_id"], order)
    return json_answer(await shown_job(call, record))


async def bulk_jobs(call: Call) -> web.Response:
    """Deal with a bounded number of the jobs that a filter finds."""
    body = call.body(BulkJobs)
    order = BulkOrder(
        Action(body.action),
        _wanted(body.filter),
        body.limit,
        body.cursor,
        body.dry_run,
        body.by or call.tenant,
        body.reason,
    )
    outcome = await call.engine.operations.many.run(call.tenant, order)
    failures = [
        {"job_id": one.job, "code": one.error.code.value, "detail": one.error.detail} for one in outcome.failures
    ]
    return json_answer(
        {
            "matched": outcome.matched,
            "done": outcome.done,
            "jobs": outcome.jobs,
            "errors": failures,
            "next": outcome.next,
        }
    )


def _wanted(given: Wanted) -> JobFilter:
    return JobFilter(
        statuses=statuses_of(",".join(given.status)),
        blueprint=given.blueprint,
        tag=given.tag,
        error=given.error,
        created_since=_ms(given.created_since),
        created_until=_ms(given.created_until),
        finished_since=_ms(given.finished_since),
        finished_until=_ms(given.finished_until),
    )


def _ms(moment: datetime | None) -> UnixMs | None:
    return None if moment is None else UnixMs(int(moment.timestamp() * 1000))


async def list_errors(call: Call) -> web.Response:
    """What fails most: errors of one kind together, the most frequent first."""
    today = datetime.fromtimestamp(unix_ms() / 1000, UTC).date()
    until = _day("until", call.query("until")) or today
    since = _day("since", call.query("since")) or until - timedelta(days=6)
    if not 0 <= (until - since).days < ERROR_DAYS_MAX:
        raise refused("since", since.isoformat(), f"a day before `until`, {ERROR_DAYS_MAX} days at most")
    groups = await call.engine.operations.searching.errors(call.tenant, since, until, limit=ERROR_GROUPS)
    return json_answer({"items": [_error_object(group) for group in groups]})


def _day(name: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise refused(name, text, "a day, for example 2026-01-31") from None


def _error_object(group: ErrorGroup) -> dict[str, Any]:
    newest = group.newest
    return {
        "fingerprint": group.fingerprint,
        "count": group.count,
        "job_id": None if newest is None else newest.id,
        "blueprint_name": None if newest is None else newest.blueprint,
        "current_state": None if newest is None else newest.state,
        "message": None if newest is None else newest.error,
        "last_seen_at": None if newest is None else time_text(newest.finished_at),
    }


async def get_case(call: Call) -> web.Response:
    """The job with all that is needed to look at it elsewhere. Tokens are never in it."""
    job_id = call.path["job_id"]
    record, entered = await call.engine.operations.retrying.entered(call.tenant, job_id)
    history = await call.engine.history(call.tenant, job_id)
    last = await call.engine.last_line(call.tenant, job_id)
    log = await call.engine.logs(
        call.tenant, job_id, after=max(0, last - LOG_LINES_MAX), limit=LOG_LINES_MAX, stream=None
    )
    return json_answer(
        {
            "format": "muster-case/1",
            "job": job_object(record),
            "blueprint_version": record.blueprint_version,
            "data": record.context.data,
            "entered": [{"state": state, "argument": one.argument, "data": one.data} for state, one in entered.items()],
            "history": [event_object(event) for event in history],
            "log": [line_object(line) for line in log.items],
            "exported_at": time_text(unix_ms()),
        }
    )
