"""Batches as streams of lines: NDJSON in, NDJSON out, never whole in memory."""

from collections.abc import AsyncIterator
from typing import Any, Final

import orjson
from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import PayloadEncodingError

from muster.api.body import parse_json, validated
from muster.api.call import Call, json_answer, plain
from muster.api.middleware import headers_of_stream
from muster.api.models import BATCH_ID_CHARACTERS_MAX, BatchJob
from muster.api.operations import NDJSON
from muster.api.parameters import refused, whole
from muster.api.wire import time_text
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine.bulk import Line
from muster.engine.views import JobOrder
from muster.errors import ErrorCode, MusterError

LINE_BYTES_MAX: Final = 1_048_576
"""Of one line; a server that takes smaller bodies takes smaller lines."""
LINES_AT_ONCE: Final = 500


def is_stream(request: web.Request) -> bool:
    return request.content_type == NDJSON


async def load_batch(call: Call) -> web.Response:
    """Make the jobs as their lines come in."""
    batch_id = call.query("id")
    if batch_id is not None and not 1 <= len(batch_id) <= BATCH_ID_CHARACTERS_MAX:
        raise refused("id", batch_id, f"a name of 1 to {BATCH_ID_CHARACTERS_MAX} characters")
    if "Content-Encoding" in call.request.headers:
        raise MusterError(ErrorCode.INVALID_BODY, "A compressed stream is not read.", hint="Send it uncompressed.")
    lines = _Lines(call, min(LINE_BYTES_MAX, call.edge.settings.max_body_bytes))
    try:
        webhook_url = call.query("webhook_url")
        loaded = await call.engine.bulk.load(call.tenant, batch_id, webhook_url, lines.read(), **call.admission)
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
    answer = {
        "batch_id": loaded.batch_id,
        "accepted": loaded.accepted,
        "already_there": loaded.already_there,
        "refused": loaded.refused,
        "errors": [{"line": one.line, "code": one.code, "detail": one.detail} for one in loaded.errors],
    }
    return json_answer(answer, status=201)


class _Lines:
    def __init__(self, call: Call, bytes_max: int) -> None:
        self._call = call
        self._bytes_max = bytes_max
        self._blueprint = call.query("blueprint")

    async def read(self) -> AsyncIterator[list[Line]]:
        """What stands on each line that is not empty; a line that is too long ends the stream."""
        rest, number = b"", 0
        try:
            async for data in self._call.request.content.iter_any():
                *whole_lines, rest = (rest + data).split(b"\n")
                for start in range(0, len(whole_lines), LINES_AT_ONCE):
                    some = whole_lines[start : start + LINES_AT_ONCE]
                    yield [
                        (number + i, self._order(text, number + i)) for i, text in enumerate(some, 1) if text.strip()
                    ]
                    number += len(some)
                if len(rest) > self._bytes_max:
                    raise self._too_long(number + 1)
        except (PayloadEncodingError, ClientPayloadError, web.RequestPayloadError):
            raise MusterError(
                ErrorCode.INVALID_BODY,
                "The stream broke off.",
                hint="The lines that came were taken. Send it again with the same id: they are passed over.",
            ) from None
        if rest.strip():
            yield [(number + 1, self._order(rest, number + 1))]

    def _order(self, text: bytes, number: int) -> JobOrder | MusterError:
        if len(text) > self._bytes_max:
            return self._too_long(number)
        try:
            value = parse_json(text)
            if isinstance(value, dict) and self._blueprint is not None:
                value.setdefault("blueprint", self._blueprint)
            job = validated(BatchJob, value)
        except MusterError as error:
            return error
        return JobOrder(self._call.tenant, job.blueprint, job.initial_data, tags=tuple(job.tags))

    def _too_long(self, number: int) -> MusterError:
        return MusterError(ErrorCode.BODY_TOO_LARGE, f"Line {number} is longer than {self._bytes_max} bytes.")


async def stream_results(call: Call) -> web.StreamResponse:
    """The batch's jobs in the order of their lines, one JSON object a line."""
    batch_id, after = call.path["batch_id"], call.query("after")
    start = 0 if after is None else whole("after", after, minimum=0, maximum=10**12)
    statuses = _statuses(call.query("status"))
    if len(batch_id) > BATCH_ID_CHARACTERS_MAX or await call.engine.bulk.batch(call.tenant, batch_id) is None:
        raise MusterError(
            ErrorCode.BATCH_NOT_FOUND, "Batch not found", hint="Only batches that came as NDJSON have a stream."
        )
    response = web.StreamResponse(headers={"Content-Type": NDJSON, **headers_of_stream(call.request)})
    await response.prepare(call.request)
    async for page in call.engine.bulk.results(call.tenant, batch_id, start):
        wanted = [
            _result(line, job, record)
            for line, job, record in page
            if statuses is None or (record is not None and record.status in statuses)
        ]
        if wanted:  # back-pressure: this waits while the reader is slow
            await response.write(b"".join(orjson.dumps(one, default=plain) + b"\n" for one in wanted))
    await response.write_eof()
    return response


def _statuses(text: str | None) -> frozenset[JobStatus] | None:
    if text is None:
        return None
    try:
        return frozenset(JobStatus(word.strip()) for word in text.split(","))
    except ValueError:
        raise refused("status", text, f"one or several of {', '.join(JobStatus)}, separated by commas") from None


def _result(line: int, job: str, record: JobRecord | None) -> dict[str, Any]:
    if record is None:
        return {"line": line, "job_id": job, "status": None, "result": None, "error": "the job is kept no longer"}
    return {
        "line": line,
        "job_id": job,
        "status": record.status.value,
        "result": record.result,
        "error": record.error,
        "finished_at": time_text(record.finished_at),
    }
