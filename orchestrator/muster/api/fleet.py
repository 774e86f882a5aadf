"""Routes by which an operator orders workers. An order is kept until it is taken back, whatever the worker hears."""

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.api.fleet_models import Resize
from muster.api.wire import worker_object
from muster.engine.fleet import RESIZE, RESUME
from muster.engine.worker_fields import DISCONNECT, DRAIN


async def drain_worker(call: Call) -> web.Response:
    """No new task; what it has it may finish."""
    return await _order(call, DRAIN)


async def resume_worker(call: Call) -> web.Response:
    """Takes a drain back."""
    return await _order(call, RESUME)


async def disconnect_worker(call: Call) -> web.Response:
    """As a drain, and then the process ends."""
    return await _order(call, DISCONNECT)


async def resize_worker(call: Call) -> web.Response:
    """So many tasks at a time."""
    return await _order(call, RESIZE, call.body(Resize).slots)


async def _order(call: Call, order: str, slots: int | None = None) -> web.Response:
    return json_answer(worker_object(await call.engine.order(call.path["worker_id"], order, slots)))
