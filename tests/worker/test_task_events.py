"""Events of a task's own kinds: told, checked against the contract, read by the client."""

import asyncio
from typing import Any

import orjson
import pytest
from muster_worker import Ctx, LogLine, TaskEvent, Worker, task
from muster_worker.task_events import event_text
from pydantic import BaseModel

from tests.worker.conftest import Serving
from tests.worker.fake_orchestrator import FakeOrchestrator


class Page(BaseModel):
    number: int


scan = task("scan", dict[str, Any], dict[str, Any], events={"page_done": Page})


async def test_an_event_is_a_line_of_its_own_stream_in_order_with_the_others(
    fake: FakeOrchestrator, serving: Serving
) -> None:
    worker = Worker()

    @worker.task(scan)
    async def scanning(ctx: Ctx, _: dict[str, Any]) -> dict[str, Any]:
        ctx.emit("log", text="before")
        ctx.event("page_done", Page(number=3))
        await asyncio.to_thread(ctx.event, "page_done", {"number": 4})
        return {}

    async with serving(worker, fake):
        task_id = fake.give("scan", {})
        assert (await fake.result(task_id))["status"] == "success"
        told = [(event["stream"], event["text"]) for event in fake.events[task_id]]
    assert told[0] == ("stdout", "before")
    lines = [LogLine(seq=1, stream=stream, text=text).event for stream, text in told]
    assert lines == [None, TaskEvent("page_done", {"number": 3}), TaskEvent("page_done", {"number": 4})]


async def test_an_event_that_the_contract_does_not_declare_fails_where_it_is_told(
    fake: FakeOrchestrator, serving: Serving
) -> None:
    worker = Worker()

    @worker.task(scan)
    async def scanning(ctx: Ctx, wanted: dict[str, Any]) -> dict[str, Any]:
        ctx.event(wanted["event"], wanted["data"])
        return {}

    async with serving(worker, fake):
        unknown = await fake.result(fake.give("scan", {"event": "page_lost", "data": None}))
        wrong = await fake.result(fake.give("scan", {"event": "page_done", "data": {"number": "x"}}))
    assert "task 'scan' declares no event 'page_lost'; it has page_done" in unknown["error"]["message"]
    assert "number" in wrong["error"]["message"]


def test_without_a_declaration_any_type_and_data_will_do() -> None:
    assert orjson.loads(event_text("x", [1, "two\nlines"], {}, "t")) == {"type": "x", "data": [1, "two\nlines"]}
    assert "\n" not in event_text("x", "two\nlines", {}, "t")
    for kind in ("", "x" * 257):
        with pytest.raises(ValueError, match="1 to 256 characters"):
            event_text(kind, None, {}, "t")
    with pytest.raises(ValueError, match="at most 65536 fit"):
        event_text("x", "y" * 65_536, {}, "t")


def test_a_line_that_another_worker_made_up_is_no_event() -> None:
    for text in ("no json", "[]", "{}", '{"type": 3}'):
        assert LogLine(seq=1, stream="event", text=text).event is None
    assert LogLine(seq=1, stream="stdout", text='{"type": "x"}').event is None


def test_a_handler_in_a_test_may_tell_events() -> None:
    Ctx.for_test().event("anything", {"a": 1})
