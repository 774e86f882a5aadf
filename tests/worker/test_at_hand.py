"""What a worker says of itself while it runs: whether it takes tasks, what it has at hand, how it is; and what stands
around its handlers."""

import asyncio
from typing import Any

import aiohttp
import pytest
from muster_worker import Ctx, Permanent, Worker
from muster_worker.hot import HotCache
from muster_worker.middleware import CallNext
from muster_worker.settings import worker_settings

from tests.support.ports import free_port
from tests.support.waiting import eventually
from tests.worker.conftest import Serving
from tests.worker.fake_orchestrator import FakeOrchestrator, until


def _echo(value: Any) -> Any:
    return value


async def test_a_worker_takes_nothing_until_its_own_condition_holds(fake: FakeOrchestrator, serving: Serving) -> None:
    fake.poll_s = 0.05
    has_room, asked = False, 0

    def ready() -> bool:
        nonlocal asked
        asked += 1
        return has_room

    worker = Worker(ready=ready)
    worker.add("echo", _echo)
    async with serving(worker, fake):
        task_id = fake.give("echo", 1)
        await until(lambda: asked >= 2 and any(beat["status"] == "draining" for beat in fake.heartbeats))
        assert fake.handed_out == []
        has_room = True
        assert (await fake.result(task_id))["data"] == 1
        has_room = False
        before = asked
        await until(lambda: asked >= before + 2)
        polls = fake.polls
        fake.give("echo", 2)
        before = asked
        await until(lambda: asked >= before + 1)
        assert (fake.polls, len(fake.handed_out)) == (polls, 1)


async def test_a_condition_that_fails_stands_for_no_and_does_not_end_the_worker(
    fake: FakeOrchestrator, serving: Serving
) -> None:
    fake.poll_s, answers = 0.05, [OSError("no driver"), True]

    async def ready() -> bool:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, OSError):
            raise answer
        return bool(answer)

    worker = Worker(ready=ready)
    worker.add("echo", _echo)
    async with serving(worker, fake):
        assert (await fake.result(fake.give("echo", 1)))["data"] == 1


async def test_what_a_worker_has_at_hand_is_told_at_registration_and_as_it_changes(
    fake: FakeOrchestrator, serving: Serving
) -> None:
    worker = Worker(hot=["llama-3"])

    @worker.task("load")
    def load(ctx: Ctx, name: str) -> None:
        ctx.add_to_hot_cache(name)
        ctx.remove_from_hot_cache("llama-3")

    async with serving(worker, fake):
        assert fake.registrations[0]["hot_cache"] == ["llama-3"]
        await fake.result(fake.give("load", "qwen"))
        await until(lambda: any(beat.get("hot_cache") == ["qwen"] for beat in fake.heartbeats))
        told = sum("hot_cache" in beat for beat in fake.heartbeats)
        beats = len(fake.heartbeats)
        worker.hot.on_change()
        await until(lambda: len(fake.heartbeats) > beats)
        assert sum("hot_cache" in beat for beat in fake.heartbeats) == told
        fake.forget_workers()
        worker.hot.on_change()
        await until(lambda: len(fake.registrations) == 2)
        assert fake.registrations[1]["hot_cache"] == ["qwen"]


def test_of_more_than_32_names_the_oldest_goes() -> None:
    hot = HotCache(f"m{number}" for number in range(32))
    hot.add("m0")
    hot.add("new")
    assert (len(hot.names()), hot.names()[0], hot.names()[-2:]) == (32, "m2", ["m0", "new"])
    with pytest.raises(ValueError, match="1 to 256 characters"):
        hot.add("")


async def test_a_worker_answers_how_it_is_on_a_port_of_its_own(fake: FakeOrchestrator, serving: Serving) -> None:
    takes = True
    worker = Worker(ready=lambda: takes, slots=3, health=free_port())
    worker.add("echo", _echo)

    async def look(path: str) -> tuple[int, dict[str, Any]]:
        assert worker.settings(token="t").health is not None
        host, port = worker.settings(token="t").health or ("", 0)
        async with session.get(f"http://{host}:{port}{path}") as answer:
            return answer.status, await answer.json()

    async def is_ready() -> bool:
        try:
            return (await look("/ready"))[0] == 200
        except aiohttp.ClientConnectorError:  # it registers before it opens its port
            return False

    async with aiohttp.ClientSession() as session, serving(worker, fake):
        await eventually(is_ready)
        status, shown = await look("/health")
        assert (status, shown["status"], shown["worker_id"], shown["slots"]) == (200, "ok", "w1", 3)
        takes = False
        async with asyncio.timeout(10):
            while (await look("/ready"))[0] != 503:
                await asyncio.sleep(0.01)
        status, shown = await look("/health")
        assert (status, shown["status"]) == (200, "paused")


def test_a_health_port_is_this_machines_unless_said_otherwise() -> None:
    env = {"MUSTER_WORKER_TOKEN": "t"}
    assert worker_settings(env=env).health is None
    assert worker_settings(env={**env, "MUSTER_WORKER_HEALTH": "8083"}).health == ("127.0.0.1", 8083)
    assert worker_settings(env=env, health="0.0.0.0:8083").health == ("0.0.0.0", 8083)
    assert worker_settings(env=env, health="[::]:8083").health == ("::", 8083)
    for wrong in ("", "x", "host:", "1:2:3", 65536):
        with pytest.raises(ValueError, match="no port for a worker's health"):
            worker_settings(env=env, health=wrong)


async def test_middlewares_stand_around_async_and_plain_handlers_the_first_outermost(
    fake: FakeOrchestrator, serving: Serving
) -> None:
    seen: list[str] = []
    part, worker = Worker(), Worker()

    @worker.middleware
    async def outer(ctx: Ctx, value: Any, call_next: CallNext) -> Any:
        seen.append(f"outer {ctx.job_id}")
        result = await call_next(value + 1)
        seen.append("outer done")
        return result * 10

    @part.middleware
    async def inner(_: Ctx, value: Any, call_next: CallNext) -> Any:
        seen.append("inner")
        if value == 100:
            raise Permanent("refused")
        return await call_next(value)

    @part.task("plain")
    def plain(value: int) -> int:
        return value

    @worker.task("awaited")
    async def awaited(value: int) -> int:
        return value

    worker.include(part)
    async with serving(worker, fake):
        assert (await fake.result(fake.give("plain", 1)))["data"] == 20
        assert seen == ["outer job-1", "inner", "outer done"]
        assert (await fake.result(fake.give("awaited", 2)))["data"] == 30
        failed = await fake.result(fake.give("plain", 99))
    assert (failed["error"]["code"], failed["error"]["message"]) == ("PERMANENT_ERROR", "refused")


def test_a_plain_function_is_no_middleware() -> None:
    plain: Any = _echo
    with pytest.raises(TypeError, match="async def middleware"):
        Worker().middleware(plain)
