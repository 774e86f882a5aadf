"""Commands over the worker's WebSocket. It only makes cancelling faster: heartbeats bring the same."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import aiohttp

from muster_worker.backoff import Backoff
from muster_worker.codec import decode_object
from muster_worker.transport import Transport

LONGEST_PAUSE_S: Final = 30.0
PING_S: Final = 30.0
REPLACED: Final = 4409
_log = logging.getLogger("muster_worker")

CancelTask = Callable[[str], None]
"""Takes a task id."""


async def follow_commands(transport: Transport, worker_id: str, cancel_task: CancelTask) -> None:
    """Stay connected until cancelled; a lost connection is made again with growing pauses."""
    backoff = Backoff(longest_s=LONGEST_PAUSE_S)
    while True:
        try:
            url = f"{transport.address}/_worker/ws/{worker_id}"
            async with transport.session.ws_connect(url, heartbeat=PING_S) as socket:
                backoff.reset()
                await _read(socket, cancel_task)
                if socket.close_code == REPLACED:
                    _log.warning("another process uses the worker id %r; give each its own", worker_id)
                    await asyncio.sleep(LONGEST_PAUSE_S)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            _log.debug("no command socket: %s", error)
        await asyncio.sleep(backoff.next_delay_s())


async def _read(socket: aiohttp.ClientWebSocketResponse, cancel_task: CancelTask) -> None:
    async for frame in socket:
        if frame.type is aiohttp.WSMsgType.TEXT:
            command = _command(frame.data)
            task_id = command.get("task_id")
            if command.get("command") == "cancel_task" and isinstance(task_id, str):
                cancel_task(task_id)


def _command(text: str) -> dict[str, Any]:
    """Unknown frames are empty commands: a newer orchestrator may send what this worker does not know."""
    try:
        return decode_object(text)
    except ValueError:
        return {}
