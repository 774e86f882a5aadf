"""What a handler tells reaches the orchestrator: in order, once, before the result, and never in the handler's way."""

import asyncio
import logging
import threading
import time
import tracemalloc
from types import SimpleNamespace
from typing import Any

import pytest
from muster_worker import Ctx, TaskLogHandler, Worker
from muster_worker.event_wire import LINE_BYTES_MAX, TaskEventsMessage
from muster_worker.events import BUFFER_BYTES_MAX, EventSender, split_line

from tests.worker.conftest import Serving
from tests.worker.fake_orchestrator import FakeOrchestrator, until


def told(fake: FakeOrchestrator, task_id: str, kind: str = "log") -> list[dict[str, Any]]:
    return [event for event in fake.events.get(task_id, []) if event["kind"] == kind]


def texts(fake: FakeOrchestrator, task_id: str) -> list[str]:
    return [event["text"] for event in told(fake, task_id)]


def talker(count: int) -> Worker:
    worker = Worker()

    @worker.task("talk")
    async def talk(ctx: Ctx, value: Any) -> None:
        for i in range(count):
            ctx.emit("log", text=f"line {i}")

    return worker


async def test_lines_arrive_in_order_and_before_the_result(fake: FakeOrchestrator, serving: Serving) -> None:
    async with serving(talker(1234), fake):
        task_id = fake.give("talk")
        await fake.result(task_id)
        assert texts(fake, task_id) == [f"line {i}" for i in range(1234)]
    assert [event["seq"] for event in fake.events[task_id]] == list(range(1234))
    assert max(fake.event_requests) <= 500
    assert len(fake.event_requests) <= 4


async def test_many_short_events_take_little_more_memory_than_they_are_long() -> None:
    """What waits is bounded by its length, so the rest of it must not be several kilobytes each."""
    sender: Any = EventSender(SimpleNamespace(), SimpleNamespace(task_id="t"), lambda _: None)  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        for number in range(5000):
            sender.emit("log", {"text": f"{number}"})
        await asyncio.sleep(0)
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        sender.close()
    assert held_bytes < 3 * sender._held_bytes


async def test_a_line_is_sent_while_its_task_still_runs(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker()
    go = asyncio.Event()

    @worker.task("talk")
    async def talk(ctx: Ctx, value: Any) -> None:
        ctx.emit("log", text="soon")
        await go.wait()

    async with serving(worker, fake):
        task_id = fake.give("talk")
        await until(lambda: texts(fake, task_id) == ["soon"])
        assert not fake.results
        go.set()


async def test_what_is_sent_is_what_the_orchestrator_reads(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker()

    @worker.task("talk")
    def talk(ctx: Ctx, value: Any) -> None:
        ctx.emit("log", stream="stderr", text="é\ud800|", at=5)
        ctx.emit("step", step={"index": 0, "name": "load", "status": "running", "metadata": {"a": 1}})
        ctx.emit("meta", key="rows", value="3")
        ctx.emit("progress", fraction=0.5, message="half")

    async with serving(worker, fake):
        task_id = fake.give("talk")
        await fake.result(task_id)
    events = fake.events[task_id]
    TaskEventsMessage.model_validate({"worker_id": "w1", "attempt": 1, "fence": "f", "events": events})
    assert [event["kind"] for event in events] == ["log", "step", "meta", "progress"]
    assert events[0] == {"seq": 0, "kind": "log", "stream": "stderr", "text": "é?|", "at": 5}


@pytest.mark.parametrize("trouble", ["fail_events", "lose_event_answers"])
async def test_refused_and_doubtful_batches_are_sent_again_until_taken(
    fake: FakeOrchestrator, serving: Serving, trouble: str
) -> None:
    setattr(fake, trouble, 3)
    async with serving(talker(700), fake):
        task_id = fake.give("talk")
        await fake.result(task_id)
    assert texts(fake, task_id) == [f"line {i}" for i in range(700)]


async def test_lines_are_not_given_up_while_a_slow_orchestrator_takes_them(
    fake: FakeOrchestrator, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EventSender.flush, "__defaults__", (0.5,))
    fake.events_take_s = 0.1
    async with serving(talker(4000), fake):
        task_id = fake.give("talk")
        await fake.result(task_id)
    assert len(texts(fake, task_id)) == 4000


async def test_a_task_is_never_held_up_and_what_does_not_fit_is_counted(
    fake: FakeOrchestrator, serving: Serving
) -> None:
    worker = Worker()
    fake.events_gate = asyncio.Event()
    took_s: list[float] = []
    line, count = "x" * 10_000, 1000

    @worker.task("talk")
    async def talk(ctx: Ctx, value: Any) -> None:
        began_s = time.monotonic()
        for _ in range(count):
            ctx.emit("log", text=line)
        ctx.emit("step", step={"index": 0, "name": "end", "status": "completed"})
        took_s.append(time.monotonic() - began_s)

    async with serving(worker, fake):
        task_id = fake.give("talk")
        await until(lambda: bool(took_s))
        assert not fake.events
        fake.events_gate.set()
        await fake.result(task_id)
    kept, dropped = texts(fake, task_id), told(fake, task_id, "dropped")
    assert len(kept) + sum(event["count"] for event in dropped) == count
    assert 300 < len(kept) <= BUFFER_BYTES_MAX // len(line)
    assert [event["stream"] for event in dropped] == ["stdout"]
    assert len(told(fake, task_id, "step")) == 1


async def test_plain_handlers_may_tell_from_many_threads(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker()

    @worker.task("talk")
    def talk(ctx: Ctx, value: Any) -> None:
        def tell(who: int) -> None:
            for i in range(200):
                ctx.emit("log", text=f"{who} {i}")

        threads = [threading.Thread(target=tell, args=(who,)) for who in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    async with serving(worker, fake):
        task_id = fake.give("talk")
        await fake.result(task_id)
    seen = texts(fake, task_id)
    assert len(seen) == 1000
    for who in range(5):
        assert [text for text in seen if text.startswith(f"{who} ")] == [f"{who} {i}" for i in range(200)]


async def test_a_task_that_is_lost_or_not_known_stops_telling(fake: FakeOrchestrator, serving: Serving) -> None:
    fake.ignore_events = True
    async with serving(talker(10), fake):
        await fake.result(fake.give("talk"))
        fake.ignore_events, fake.refuse_events_with = False, 404
        await fake.result(fake.give("talk"))
    assert fake.events == {}


async def test_a_batch_that_is_refused_for_what_it_says_is_given_up(fake: FakeOrchestrator, serving: Serving) -> None:
    fake.refuse_events_with = 400
    async with serving(talker(600), fake):
        task_id = fake.give("talk")
        assert (await fake.result(task_id))["status"] == "success"
    assert fake.events == {}


async def test_a_task_is_cancelled_by_the_answer_to_what_it_tells(fake: FakeOrchestrator, serving: Serving) -> None:
    worker = Worker()
    fake.cancel_by_events = True

    @worker.task("talk")
    async def talk(ctx: Ctx, value: Any) -> None:
        ctx.emit("log", text="x")
        await asyncio.Event().wait()

    async with serving(worker, fake):
        assert (await fake.result(fake.give("talk")))["status"] == "cancelled"


async def test_ctx_log_and_loggers_with_our_handler_are_lines_of_the_task(
    fake: FakeOrchestrator, serving: Serving
) -> None:
    worker = Worker()
    library = logging.getLogger("tests.library")
    handler = TaskLogHandler()
    library.addHandler(handler)
    library.setLevel(logging.DEBUG)

    @worker.task("talk")
    def talk(ctx: Ctx, value: Any) -> None:
        ctx.log.debug("not told")
        ctx.log.info("loaded %d rows", 3)
        library.warning("two\nlines")
        library.debug("not told")
        try:
            int("bad")
        except ValueError:
            ctx.log.exception("failed")

    library.info("outside of a task")
    async with serving(worker, fake):
        task_id = fake.give("talk")
        await fake.result(task_id)
    library.removeHandler(handler)
    lines = texts(fake, task_id)
    assert lines[:4] == ["INFO loaded 3 rows", "WARNING two", "lines", "ERROR failed"]
    assert lines[-1].startswith("ValueError: ")
    assert {event["stream"] for event in told(fake, task_id)} == {"stderr"}


async def test_a_record_is_told_once_though_our_handler_is_at_the_root(
    fake: FakeOrchestrator, serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker()
    handler = TaskLogHandler()
    logging.getLogger("muster_worker.task").addHandler(handler)

    @worker.task("talk")
    async def talk(ctx: Ctx, value: Any) -> None:
        ctx.log.warning("once")

    async with serving(worker, fake):
        task_id = fake.give("talk")
        await fake.result(task_id)
    logging.getLogger("muster_worker.task").removeHandler(handler)
    assert texts(fake, task_id) == ["WARNING once"]
    (record,) = [record for record in caplog.records if record.message == "once"]
    assert (record.filename, record.funcName) == ("test_events.py", "talk")


def test_a_handler_in_a_test_tells_nobody() -> None:
    ctx = Ctx.for_test()
    ctx.emit("log", text="x")
    ctx.log.info("x")


@pytest.mark.parametrize("text", ["", "short", "x" * LINE_BYTES_MAX, "é" * LINE_BYTES_MAX, "☃" * 50_000, "😀" * 33_000])
def test_a_long_line_is_split_into_whole_characters(text: str) -> None:
    pieces = list(split_line(text))
    assert "".join(pieces) == text
    assert all(len(piece.encode()) <= LINE_BYTES_MAX for piece in pieces)
    assert len(pieces) == max(1, -(-len(text.encode()) // LINE_BYTES_MAX)) or len(text.encode()) % LINE_BYTES_MAX
