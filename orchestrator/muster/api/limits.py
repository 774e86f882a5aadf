"""Routes of limits, and of pauses, which are limits too. A tenant sees its own and everybody's."""

from dataclasses import replace
from typing import Any

from aiohttp import web

from muster.api.auth import authorize_operator
from muster.api.call import Call, json_answer
from muster.api.limit_models import SetLimit
from muster.core.flow import Limit, LimitRefused, Scope, limit_of
from muster.core.moments import time_text
from muster.engine.limits import LimitView, applies_to
from muster.errors import ErrorCode, MusterError


async def list_limits(call: Call) -> web.Response:
    """By scope and name; an operator sees those of all tenants."""
    views = await call.engine.limits.all()
    sees_all = call.client is not None and call.client.is_operator
    shown = [view for view in views if sees_all or applies_to(view.limit, call.tenant)]
    own = {Scope.TENANT, Scope.KEY}
    items = [view if sees_all or view.limit.scope in own else replace(view, holders=()) for view in shown]
    return json_answer({"items": [limit_object(view) for view in items]})  # of others, tasks are not told


async def put_limit(call: Call) -> web.Response:
    limit = _limit(call, call.body(SetLimit).given())
    _authorize(call, limit.scope)
    return json_answer(limit_object(await call.engine.limits.put(limit)))


async def delete_limit(call: Call) -> web.Response:
    limit = _limit(call, {"max": 0})
    _authorize(call, limit.scope)
    await call.engine.limits.drop(limit)
    return web.Response(status=204)


async def pause_queue(call: Call) -> web.Response:
    """Hand out no more tasks of a type; those that run go on."""
    return await _paused(call, Scope.TASK, call.path["task"])


async def resume_queue(call: Call) -> web.Response:
    return await _resumed(call, Scope.TASK, call.path["task"])


async def pause_blueprint(call: Call) -> web.Response:
    """Hand out no more tasks of a blueprint's jobs; those that run go on, and jobs may be started."""
    return await _paused(call, Scope.BLUEPRINT, call.path["blueprint_name"])


async def resume_blueprint(call: Call) -> web.Response:
    return await _resumed(call, Scope.BLUEPRINT, call.path["blueprint_name"])


async def _paused(call: Call, scope: Scope, name: str) -> web.Response:
    limit = _checked(scope, name, {"max": 0}, "")
    return json_answer(limit_object(await call.engine.limits.pause(scope, limit.name)))


async def _resumed(call: Call, scope: Scope, name: str) -> web.Response:
    limit = _checked(scope, name, {"max": 0}, "")
    return json_answer(limit_object(await call.engine.limits.resume(scope, limit.name)))


def _limit(call: Call, values: dict[str, Any]) -> Limit:
    return _checked(call.path["scope"], call.path["name"], values, call.tenant)


def _checked(scope: str, name: str, values: dict[str, Any], tenant: str) -> Limit:
    try:
        return limit_of(scope, name, values, tenant)
    except LimitRefused as error:
        raise MusterError(ErrorCode.INVALID_LIMIT, f"{error}.") from error


def _authorize(call: Call, scope: Scope) -> None:
    """A client changes limits of its own keys; the others concern all tenants."""
    assert call.client is not None, call.operation.path
    if scope is not Scope.KEY:
        authorize_operator(call.client, call.edge.settings)


def limit_object(view: LimitView) -> dict[str, Any]:
    limit = view.limit
    return {
        "scope": limit.scope,
        "name": limit.name,
        "tenant": limit.tenant or None,
        "max": limit.max,
        "rate": limit.rate,
        "per_seconds": None if limit.per_ms is None else limit.per_ms / 1000,
        "burst": limit.burst,
        "weight": limit.weight,
        "paused": limit.paused,
        "source": view.source,
        "opens_at": time_text(view.opens_at),
        "running": view.running,
        "held_by": list(view.holders),
    }
