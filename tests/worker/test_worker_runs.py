"""A worker against an orchestrator on a real socket."""

import asyncio
import logging
import threading
import time
from typing import Any

import pytest
from muster_worker import Cancelled, Ctx, NotAllowed, Outcome, Permanent, Retry, Worker, task
from pydantic import BaseModel, model_serializer

from tests.worker.conftest import Serving
from tests.worker.fake_orchestrator import FakeOrchestrator, ThreadedOrchestrator, until


class Charge(BaseModel):
    order_id: str
    cents: int


class Receipt(BaseModel):
    payment_id: str


charge_card = task("payments.charge", Charge, Receipt)


async def test_a_task_is_run_and_its_result_reported(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker()
    seen: list[tuple[str, int, str]] = []

    @worker.task(charge_card)
    async def charge(ctx: Ctx, c: Charge) -> Receipt:
        seen.append((ctx.job_id, ctx.attempt, ctx.idempotency_key))
        return Receipt(payment_id=f"p-{c.order_id}")

    async with serving(worker, fake):
        task_id = fake.give("payments.charge", {"order_id": "o1", "cents": 5})
        result = await fake.result(task_id)
    assert result == {"status": "success", "data": {"payment_id": "p-o1"}}
    assert seen == [("job-1", 1, "job-1.1")]
    report = fake.results[0]
    assert (report["worker_id"], report["attempt"], report["fence"]) == ("w1", 1, "fence-1")
    assert fake.registrations[0]["supported_tasks"] == ["payments.charge"]
    assert fake.registrations[0]["protocol"] == 1


async def test_a_worker_says_what_it_costs_and_which_runtimes_it_has(fake: FakeOrchestrator, serving: Serving) -> None:
    scripts, worker = Worker(), Worker(cost_per_second=0.5)
    scripts.offer_runtimes(["python:3.11", "bash"])
    worker.add("x", lambda value: value)
    worker.add("dear", lambda value: value, cost_per_second=2.5)
    with pytest.raises(ValueError, match="cost_per_second must be EUR of 0 or more, not -1"):
        worker.add("wrong", lambda value: value, cost_per_second=-1)
    worker.include(scripts)
    worker.offer_runtimes(["bash", "ruby:3.2"])
    async with serving(worker, fake):
        said = fake.registrations[0]
    assert (said["cost_per_second"], said["runtimes"]) == (0.5, ["python:3.11", "bash", "ruby:3.2"])
    assert said["cost_per_task"] == {"dear": 2.5}


async def test_plain_functions_run_in_threads_side_by_side(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker(slots=3)
    meeting = threading.Barrier(3, timeout=10)

    @worker.task("meet")
    def meet(value: dict[str, Any]) -> dict[str, Any]:
        meeting.wait()
        return {"name": value["name"], "main": threading.current_thread() is threading.main_thread()}

    async with serving(worker, fake):
        ids = [fake.give("meet", {"name": n}) for n in "abc"]
        results = [await fake.result(i) for i in ids]
    assert [r["data"] for r in results] == [{"name": n, "main": False} for n in "abc"]


async def test_errors_become_the_reports_they_stand_for(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker()

    @worker.task("fail")
    async def fail(how: str) -> Any:
        if how == "retry":
            raise Retry("busy", after="5s")
        if how == "permanent":
            raise Permanent("declined")
        if how == "duplicate":
            return Outcome("duplicate", {"of": 7})
        if how == "unsendable":
            return 2**80
        raise ValueError("boom")

    async with serving(worker, fake):
        ids = {how: fake.give("fail", how) for how in ("retry", "permanent", "duplicate", "unsendable", "raise")}
        ids["type"] = fake.give("fail", 12)
        ids["name"] = fake.give("unheard.of", 12)
        results = {how: await fake.result(i) for how, i in ids.items()}
    assert results["retry"]["error"] == {"code": "TRANSIENT_ERROR", "message": "busy", "retry_after_seconds": 5.0}
    assert results["permanent"]["error"] == {"code": "PERMANENT_ERROR", "message": "declined"}
    assert results["duplicate"] == {"status": "duplicate", "data": {"of": 7}}
    assert results["unsendable"]["error"]["code"] == "PERMANENT_ERROR"
    assert results["raise"]["error"]["message"].startswith("ValueError: boom")
    assert results["type"]["error"]["code"] == "INVALID_INPUT_ERROR"
    assert "unheard.of" in results["name"]["error"]["message"]


async def test_a_worker_never_holds_more_tasks_than_slots(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker(slots=5)

    @worker.task("work")
    async def work(value: int) -> int:
        await asyncio.sleep(0.001 * (value % 3))
        return value

    async with serving(worker, fake):
        ids = [fake.give("work", n) for n in range(200)]
        await until(lambda: len(fake.results) == 200)
    assert fake.held_max == 5
    assert sorted(fake.handed_out) == sorted(ids)


async def test_results_that_are_ready_together_share_a_request(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker(slots=50)

    @worker.task("work")
    async def work(value: int) -> int:
        return value

    for n in range(500):
        fake.give("work", n)
    async with serving(worker, fake):
        await until(lambda: len(fake.results) == 500)
    assert len(fake.report_requests) < 100
    assert max(fake.report_requests) <= 100
    assert fake.polls < 10


async def test_a_poll_waits_while_slots_are_free(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker(slots=2)
    go = asyncio.Event()

    @worker.task("wait")
    async def wait(value: int) -> int:
        await go.wait()
        return value

    async with serving(worker, fake):
        await until(lambda: fake.polls_waiting == 1)
        fake.give("wait", 1)
        await until(lambda: fake.held == 1 and fake.polls_waiting == 1)
        fake.give("wait", 2)
        await until(lambda: fake.held == 2)
        go.set()
        await until(lambda: fake.polls_waiting == 1)


async def test_a_task_with_slots_of_its_own_runs_no_more_at_a_time(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker(slots=10)
    running = 0
    running_max = 0

    @worker.task("narrow", slots=2)
    async def narrow(value: int) -> int:
        nonlocal running, running_max
        running += 1
        running_max = max(running_max, running)
        await asyncio.sleep(0.005)
        running -= 1
        return value

    async with serving(worker, fake):
        ids = [fake.give("narrow", n) for n in range(10)]
        for task_id in ids:
            await fake.result(task_id)
    assert running_max == 2


async def test_a_worker_that_was_forgotten_registers_again(fake: FakeOrchestrator, serving: Serving) -> None:
    fake.poll_s = 0.05
    worker = Worker()
    worker.add("echo", _echo)
    async with serving(worker, fake):
        fake.forget_workers()
        task_id = fake.give("echo", {"a": 1})
        assert (await fake.result(task_id))["data"] == {"a": 1}
    assert len(fake.registrations) >= 2


async def test_a_heartbeat_that_finds_the_worker_forgotten_registers_it(
    fake: FakeOrchestrator, serving: Serving
) -> None:
    worker = Worker()
    go = asyncio.Event()

    @worker.task("wait")
    async def wait(value: int) -> int:
        await go.wait()
        return value

    async with serving(worker, fake):
        task_id = fake.give("wait", 1)
        await until(lambda: bool(fake.heartbeats))
        fake.forget_workers()
        await until(lambda: len(fake.registrations) == 2)
        go.set()
        await fake.result(task_id)


async def test_heartbeats_go_on_while_a_handler_blocks_the_loop(serving: Serving) -> None:
    worker = Worker()

    @worker.task("burn")
    async def burn(seconds: float) -> float:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            sum(range(1000))
        return until_s

    with ThreadedOrchestrator(heartbeat_s=0.05) as fake:
        async with serving(worker, fake):
            task_id = fake.give("burn", 1.0)
            ended_s = (await fake.result(task_id))["data"]
        during = [t for t in fake.heartbeat_times_s if ended_s - 1.0 < t < ended_s]
    assert len(during) >= 3
    assert any(lease["fence"] == "fence-1" for beat in fake.heartbeats for lease in beat["leases"])


async def test_progress_travels_with_the_next_heartbeat(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker()
    go = asyncio.Event()

    @worker.task("steps")
    async def steps(ctx: Ctx, total: int) -> int:
        await ctx.progress(1, total, "labelling")
        await go.wait()
        return total

    def leases() -> list[dict[str, Any]]:
        return [lease for beat in fake.heartbeats for lease in beat["leases"]]

    async with serving(worker, fake):
        task_id = fake.give("steps", 4)
        await until(lambda: len(leases()) >= 3)
        go.set()
        await fake.result(task_id)
    told = [(x["progress"], x["message"]) for x in leases() if "progress" in x]
    assert told == [(0.25, "labelling")]  # once: what was told need not be told again


async def test_a_task_with_a_heartbeat_limit_tells_how_long_its_own_handler_was_silent(
    fake: FakeOrchestrator, serving: Serving
) -> None:
    worker = Worker()
    go = asyncio.Event()

    @worker.task("steps")
    async def steps(ctx: Ctx, total: int) -> int:
        while not go.is_set():
            ctx.heartbeat()
            await asyncio.sleep(0)
        return total

    @worker.task("hang")
    async def hang(ctx: Ctx, total: int) -> int:
        await go.wait()
        return total

    def silences(task_id: str) -> list[float]:
        leases = [lease for beat in fake.heartbeats for lease in beat["leases"] if lease["task_id"] == task_id]
        return [lease["silent_seconds"] for lease in leases]

    async with serving(worker, fake):
        ids = [fake.give(name, 4, heartbeat_seconds=10) for name in ("steps", "hang")]
        await until(lambda: all(len(silences(task_id)) >= 4 for task_id in ids))
        go.set()
        for task_id in ids:
            await fake.result(task_id)
    signed, hung = (silences(task_id) for task_id in ids)
    assert hung == sorted(hung)
    assert hung[3] > hung[0]
    assert max(signed) < hung[3]


@pytest.mark.parametrize("way", ["heartbeat", "socket"])
async def test_a_cancelled_async_handler_stops(fake: FakeOrchestrator, serving: Serving, way: str) -> None:
    worker = Worker()
    started = asyncio.Event()
    cleaned_up = False

    @worker.task("sleep")
    async def sleep(value: int) -> int:
        nonlocal cleaned_up
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            cleaned_up = True
        return value

    async with serving(worker, fake):
        task_id = fake.give("sleep", 1)
        await started.wait()
        await _cancel(fake, task_id, way)
        result = await fake.result(task_id)
    assert result == {"status": "cancelled"}
    assert cleaned_up


@pytest.mark.parametrize("way", ["heartbeat", "socket"])
async def test_a_cancelled_plain_handler_notices(fake: FakeOrchestrator, serving: Serving, way: str) -> None:
    worker = Worker()
    started = threading.Event()

    @worker.task("loop")
    def loop(ctx: Ctx, value: int) -> int:
        started.set()
        assert ctx.cancelled.wait(10)
        assert ctx.cancelled
        ctx.progress_now(0.5)
        raise AssertionError("progress_now raises Cancelled")

    async with serving(worker, fake):
        task_id = fake.give("loop", 1)
        await until(started.is_set)
        await _cancel(fake, task_id, way)
        assert await fake.result(task_id) == {"status": "cancelled"}


async def test_a_plain_handler_is_cancelled_while_another_blocks_the_loop(serving: Serving) -> None:
    worker = Worker()
    noticed_s: list[float] = []

    @worker.task("plain")
    def plain(ctx: Ctx, value: int) -> int:
        assert ctx.cancelled.wait(10)
        noticed_s.append(time.monotonic())
        raise Cancelled

    @worker.task("block")
    async def block(ctx: Ctx, value: int) -> float:
        fake.cancel_ids = [victim]
        time.sleep(0.8)  # noqa: ASYNC251 - the point of the test
        return time.monotonic()

    with ThreadedOrchestrator(heartbeat_s=0.05) as fake:
        async with serving(worker, fake):
            victim = fake.give("plain", 1)
            await until(lambda: bool(fake.heartbeats))
            blocked = fake.give("block", 1)
            unblocked_s = (await fake.result(blocked))["data"]
            assert await fake.result(victim) == {"status": "cancelled"}
    assert noticed_s[0] < unblocked_s - 0.2


@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_a_handler_that_takes_too_long_times_out(fake: FakeOrchestrator, serving: Serving, kind: str) -> None:
    worker = Worker()

    @worker.task("async")
    async def sleep(value: int) -> int:
        await asyncio.sleep(60)
        return value

    @worker.task("plain")
    def loop(ctx: Ctx, value: int) -> int:
        assert ctx.cancelled.wait(10)
        ctx.check_cancelled()
        return value

    async with serving(worker, fake):
        task_id = fake.give(kind, 1, timeout_seconds=0.05)
        result = await fake.result(task_id)
    assert result["error"] == {
        "code": "TIMEOUT_ERROR",
        "message": "the task did not finish within its timeout of 0.05 s",
    }


async def test_draining_finishes_what_runs_and_takes_nothing_new(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker(slots=2)
    begun, go = asyncio.Event(), asyncio.Event()

    @worker.task("wait")
    async def wait(value: int) -> int:
        begun.set()
        await go.wait()
        return value

    async with serving(worker, fake) as stop:
        running = fake.give("wait", 1)
        await until(begun.is_set)
        stop.set()
        await until(lambda: any(beat["status"] == "draining" for beat in fake.heartbeats))
        await until(lambda: fake.polls_waiting == 0)
        later = fake.give("wait", 2)
        go.set()
    assert fake.result_of(running) == {"status": "success", "data": 1}
    assert later not in fake.handed_out


async def test_a_drain_that_takes_too_long_gives_the_task_back(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker()

    @worker.task("sleep")
    async def sleep(value: int) -> int:
        await asyncio.sleep(60)
        return value

    async with serving(worker, fake, drain_timeout="100ms"):
        task_id = fake.give("sleep", 1)
        await until(lambda: fake.held == 1)
    error = fake.result_of(task_id)["error"]
    assert error["code"] == "TRANSIENT_ERROR"
    assert "stopped" in error["message"]


async def test_a_plain_handler_that_hangs_does_not_keep_the_worker(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker()
    end = threading.Event()

    @worker.task("hang")
    def hang(value: int) -> int:
        end.wait(30)
        return value

    async with serving(worker, fake, drain_timeout="50ms"):
        fake.give("hang", 1)
        await until(lambda: fake.held == 1)
    end.set()


async def test_a_result_is_sent_again_after_a_503(
    fake: FakeOrchestrator, serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker()
    worker.add("echo", _echo)
    fake.fail_reports = 2
    async with serving(worker, fake):
        task_id = fake.give("echo", {"a": 1})
        assert (await fake.result(task_id))["data"] == {"a": 1}
    assert len(set(fake.refused_bodies)) == 1
    assert len(fake.refused_bodies) == 2


async def test_a_refused_result_is_dropped_and_the_slot_is_free_again(
    fake: FakeOrchestrator, serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(slots=1)
    worker.add("echo", _echo)
    fake.refuse_reports_with = 404
    async with serving(worker, fake):
        fake.give("echo", {"a": 1})
        await until(lambda: len(fake.refused_bodies) == 1)
        fake.refuse_reports_with = None
        assert (await fake.result(fake.give("echo", {"a": 2})))["data"] == {"a": 2}
    assert "was refused" in caplog.text
    assert len(fake.refused_bodies) == 1


async def test_a_result_that_is_too_large_becomes_an_error_and_takes_no_other_with_it(
    fake: FakeOrchestrator, serving: Serving
) -> None:
    worker = Worker(slots=3)
    fake.result_bytes_max = 2000

    @worker.task("repeat")
    async def repeat(times: int) -> str:
        return "x" * times

    ids = [fake.give("repeat", times) for times in (10, 5000, 20)]
    async with serving(worker, fake):
        small, large, other = [await fake.result(i) for i in ids]
    assert (small["data"], other["data"]) == ("x" * 10, "x" * 20)
    assert large["error"]["code"] == "PERMANENT_ERROR"
    assert "too large" in large["error"]["message"]


async def test_the_second_address_takes_over_when_the_first_is_gone(serving: Serving) -> None:
    worker = Worker()
    worker.add("echo", _echo)
    async with FakeOrchestrator() as first, FakeOrchestrator() as second, serving(worker, first, second):
        await first.result(first.give("echo", {"n": 1}))
        second.known_workers |= first.known_workers  # as with one store behind both
        await first.close()
        assert (await second.result(second.give("echo", {"n": 2})))["data"] == {"n": 2}
        await until(lambda: bool(second.sockets))


async def test_a_worker_waits_for_its_orchestrator_to_start(serving: Serving) -> None:
    worker = Worker()
    worker.add("echo", _echo)
    async with FakeOrchestrator() as fake, serving(worker, fake, url=["http://127.0.0.1:9", fake.url]):
        await fake.result(fake.give("echo", {"n": 1}))


async def test_a_lost_lease_stops_the_handler_and_drops_its_result(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker(slots=1)
    stopped = asyncio.Event()

    @worker.task("sleep")
    async def sleep(value: int) -> int:
        if value == 2:
            return value
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()
        return value

    async with serving(worker, fake):
        lost = fake.give("sleep", 1)
        await until(lambda: fake.held == 1)
        fake.lost_ids = [lost]
        await asyncio.wait_for(stopped.wait(), 5)
        await fake.result(fake.give("sleep", 2))
    assert all(r["task_id"] != lost for r in fake.results)


async def test_a_lost_result_is_not_sent_again(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker(slots=1)
    worker.add("echo", _echo)
    fake.fail_reports = 1_000_000
    async with serving(worker, fake):
        lost = fake.give("echo", {"n": 1})
        await until(lambda: len(fake.refused_bodies) >= 1)
        fake.lost_ids = [lost]
        await until(lambda: not fake.lost_ids)
        fake.held -= 1
        await until(lambda: fake.polls_waiting == 1)
        fake.fail_reports = 0
        await fake.result(fake.give("echo", {"n": 2}))
    assert all(r["task_id"] != lost for r in fake.results)


async def test_a_newer_lease_of_a_task_replaces_the_older_run(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker(slots=2)

    @worker.task("maybe")
    async def maybe(ctx: Ctx, value: int) -> int:
        if ctx.attempt == 1:
            await asyncio.sleep(60)
        return ctx.attempt

    async with serving(worker, fake):
        task_id = fake.give("maybe", 1, task_id="job-9.1", fence="old")
        await until(lambda: fake.held == 1)
        fake.give("maybe", 1, task_id="job-9.1", fence="new", attempt=2)
        assert (await fake.result(task_id))["data"] == 2
    assert [r["fence"] for r in fake.results] == ["new"]


async def test_a_wrong_token_ends_the_worker_with_an_error(fake: FakeOrchestrator) -> None:
    worker = Worker()
    worker.add("echo", _echo)
    with pytest.raises(NotAllowed, match="token"):
        await worker.serve(settings=worker.settings(url=fake.url, token="wrong"))


async def test_a_worker_without_tasks_says_so(fake: FakeOrchestrator) -> None:
    worker = Worker(url=fake.url, token="t")
    with pytest.raises(ValueError, match="no tasks"):
        await worker.serve()


async def test_cancelling_serve_stops_at_once(fake: FakeOrchestrator) -> None:
    worker = Worker(url=fake.url, token="worker-secret", worker_id="w1")

    @worker.task("sleep")
    async def sleep(value: int) -> int:
        await asyncio.sleep(60)
        return value

    serve = asyncio.create_task(worker.serve())
    task_id = fake.give("sleep", 1)
    await until(lambda: fake.held == 1)
    serve.cancel()
    await asyncio.gather(serve, return_exceptions=True)
    assert fake.result_of(task_id)["error"]["code"] == "TRANSIENT_ERROR"


async def test_log_records_of_a_handler_name_its_task(
    fake: FakeOrchestrator, serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    worker = Worker()

    @worker.task("log")
    async def log(ctx: Ctx, value: int) -> int:
        ctx.log.info("hello", extra={"value": value})
        return value

    async with serving(worker, fake):
        await fake.result(fake.give("log", 3))
    record = next(r for r in caplog.records if r.message == "hello")
    assert (record.__dict__["task_id"], record.__dict__["value"]) == ("job-1.1", 3)


@pytest.mark.parametrize("kind", ["async", "plain"])
@pytest.mark.parametrize("error", [SystemExit(3), StopIteration(), KeyboardInterrupt()])
async def test_a_handler_cannot_end_the_worker(
    fake: FakeOrchestrator, serving: Serving, kind: str, error: BaseException
) -> None:
    worker = Worker(slots=1)

    @worker.task("async")
    async def leave(value: int) -> int:
        raise error

    @worker.task("plain")
    def leave_plainly(value: int) -> int:
        raise error

    async with serving(worker, fake):
        for _ in range(2):
            result = await fake.result(fake.give(kind, 1))
            assert result["error"]["code"] == "TRANSIENT_ERROR"
            assert type(error).__name__ in result["error"]["message"]


async def test_a_result_that_cannot_even_be_looked_at_is_reported(fake: FakeOrchestrator, serving: Serving) -> None:
    class Broken(BaseModel):
        @model_serializer
        def fail(self) -> dict[str, Any]:
            raise AttributeError("no such thing")

    worker = Worker(slots=1)
    worker.add("broken", lambda value: Broken())
    async with serving(worker, fake):
        result = await fake.result(fake.give("broken", 1))
    assert "no such thing" in result["error"]["message"]


async def test_polls_that_come_back_at_once_are_not_repeated_at_once(fake: FakeOrchestrator, serving: Serving) -> None:
    fake.poll_s = 0
    worker = Worker()
    worker.add("echo", _echo)
    async with serving(worker, fake):
        await asyncio.sleep(0.3)
        assert fake.polls < 20
        await fake.result(fake.give("echo", {"n": 1}))


async def _echo(value: dict[str, Any]) -> dict[str, Any]:
    return value


async def _cancel(fake: FakeOrchestrator, task_id: str, way: str) -> None:
    if way == "heartbeat":
        fake.cancel_ids = [task_id]
    else:
        await until(lambda: bool(fake.sockets))
        await fake.cancel_by_socket(task_id)
