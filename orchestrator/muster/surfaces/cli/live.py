"""A job, live: what was printed so far, then what comes, then how it ended. Any server tells the same."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, TypeAlias

import orjson
from aiohttp import WSCloseCode, web
from muster_worker.command.contract import COMMAND
from muster_worker.command.steps import PROGRESS

from muster.api.auth import Client
from muster.api.call import Call, plain
from muster.api.client_socket import KEEP_ALIVE_S, NOT_FOUND, tell
from muster.api.operations import Auth
from muster.api.ports import Engine
from muster.core.ids import is_job_id
from muster.core.record import JobRecord
from muster.errors import ErrorCode, MusterError
from muster.surfaces.cli.frames import KEEP_ALIVE, chosen, filtered, frames_of
from muster.surfaces.cli.job import outcome
from muster.surfaces.output import collected_output

Frame: TypeAlias = Mapping[str, Any]
Batches: TypeAlias = AsyncGenerator[list[Frame], None]


async def cli_socket(call: Call) -> web.StreamResponse:
    """Frames `{"stdout": …}`, `{"stderr": …}`, `{"progress": …}`, and at last the job as it ended; then close 1000."""

    async def talk(client: Client, socket: web.WebSocketResponse) -> int:
        try:
            record = await _job(call.engine, client.tenant, call.path["id"])
            return await _tell_all(call.engine, record, chosen(call.query("stream")), socket)
        except MusterError as error:  # also of a job that is deleted while it is followed
            if error.code is not ErrorCode.JOB_NOT_FOUND:
                raise
            await socket.send_str(_text({"error": error.detail}))
            return NOT_FOUND

    return await tell(call, Auth.CLIENT_IF_ANY, talk)


async def _job(engine: Engine, tenant: str, job_id: str) -> JobRecord:
    if not is_job_id(job_id):
        raise MusterError(ErrorCode.JOB_NOT_FOUND, "Job not found")
    return await engine.job(tenant, job_id)


async def _tell_all(engine: Engine, record: JobRecord, keys: frozenset[str], socket: web.WebSocketResponse) -> int:
    async with aclosing(_with_signs_of_life(_until_ended(engine, record), keys)) as told:
        async for frame in told:
            await socket.send_str(_text(frame))
    after = await engine.job(record.tenant, record.id)
    if not after.status.is_final:
        return WSCloseCode.GOING_AWAY  # this server shuts down: another one tells the rest
    output = await collected_output(engine, record.tenant, record.id)
    await socket.send_str(_text(filtered({**outcome(after, output), PROGRESS: 1.0}, keys)))
    return WSCloseCode.OK


async def _with_signs_of_life(found: Batches, keys: frozenset[str]) -> AsyncGenerator[Frame, None]:
    """The frames that the reader chose; a sign of life where there was none of them for long."""
    loop = asyncio.get_running_loop()
    coming = asyncio.ensure_future(anext(found, None))
    told_at = loop.time()
    try:
        while True:
            await asyncio.wait({coming}, timeout=max(0.0, told_at + KEEP_ALIVE_S - loop.time()))
            if not coming.done():
                told_at = loop.time()
                yield KEEP_ALIVE
                continue
            batch = coming.result()
            if batch is None:
                return
            for frame in batch:
                if wanted := filtered(frame, keys):
                    told_at = loop.time()
                    yield wanted
            coming = asyncio.ensure_future(anext(found, None))
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        await found.aclose()


async def _until_ended(engine: Engine, record: JobRecord) -> Batches:
    """Everything so far, in order, then what comes, until the job is final or this server shuts down."""
    has_markers = record.blueprint == COMMAND and record.submission.initial_data.get("markers") is not False
    async with aclosing(engine.follow_pages(record.tenant, record.id, quiet_s=KEEP_ALIVE_S)) as pages:
        told = None
        async for page in pages:
            frames = [] if page is None else list(frames_of(page.events, has_markers=has_markers))
            # A job changes in other ways than by its progress; a line that tells the same again is told again.
            yield [frame for frame in frames if has_markers or frame != told]
            told = next((frame for frame in reversed(frames) if PROGRESS in frame), told)


def _text(frame: Frame) -> str:
    return orjson.dumps(frame, default=plain).decode()
