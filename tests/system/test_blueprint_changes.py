"""Blueprints change and replicas are replaced, while jobs run."""

import asyncio
from typing import Any

import aiohttp

from tests.system.callers import Api, api_at, until
from tests.system.processes import Cluster
from tests.system.test_orchestrators_lost import accept_while, all_finish, reached

YAML = b"""
start: wait
states:
  wait:
    wait_for: go
    ok: end
  end:
    done: ${join(' ', ['first', argument.word])}
"""


async def put(api: Api, name: str, text: bytes) -> Any:
    headers = {"Content-Type": "application/yaml"}
    reply = await api.call("PUT", f"/api/v1/blueprints/{name}", data=text, headers=headers)
    assert reply.status in {200, 201}, reply
    return reply.body


async def test_a_blueprint_that_was_put_is_there_on_every_replica_and_after_a_restart(
    mortal: Cluster, http: aiohttp.ClientSession
) -> None:
    a, b = api_at(http, mortal.a.url), api_at(http, mortal.b.url)
    first = await put(a, "lasting", YAML)

    async def known_to_b() -> bool:
        return (await b.call("GET", "/api/v1/blueprints/lasting")).status == 200

    await until(known_to_b, "the other replica knows it")
    job_id = await b.start("lasting")
    second = await put(b, "lasting", YAML.replace(b"first", b"second"))
    assert (first["version"][:2], second["version"][:2]) == ("1:", "2:")
    for orchestrator in mortal.orchestrators:
        assert await asyncio.to_thread(orchestrator.stop, 15) == 0
    for orchestrator in mortal.orchestrators:
        await asyncio.to_thread(orchestrator.restart)
    other = await a.start("lasting")
    for waiting, word in ((job_id, "first"), (other, "second")):
        assert (await b.call("POST", f"/api/v1/jobs/{waiting}/signals/go", {"word": "word"})).status == 200
        assert (await b.end_of(waiting))["result"] == f"{word} word"


async def test_a_rolling_restart_of_all_replicas_loses_nothing(mortal: Cluster, http: aiohttp.ClientSession) -> None:
    for _ in range(2):
        mortal.add_worker("roll", MUSTER_WORKER_SLOTS="4")
    apis = [api_at(http, place.url) for place in mortal.orchestrators]
    accepted, stop = list[str](), asyncio.Event()
    load = [asyncio.create_task(accept_while(api, accepted, "roll.work", stop)) for api in apis]
    for orchestrator in mortal.orchestrators:
        await reached(accepted, len(accepted) + 8)
        assert await asyncio.to_thread(orchestrator.stop, 15) == 0
        await asyncio.to_thread(orchestrator.restart)
    await reached(accepted, len(accepted) + 8)
    stop.set()
    await asyncio.gather(*load)
    await all_finish(mortal, apis[0], accepted)
