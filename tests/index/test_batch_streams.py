"""Batches that come as a stream of lines, over real sockets."""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestServer
from muster.core.limits import FIRST_TURNS_MAX
from muster.engine.bulk import CHUNK_LINES, CHUNKS_UNDER_WAY
from muster.engine.views import JobOrder
from muster.store.batch_records import BatchLine, LineFate, NewBatch

from tests.api.conftest import ALICE, BOB
from tests.files.conftest import Site
from tests.support.waiting import eventually

NDJSON = {**ALICE, "Content-Type": "application/x-ndjson"}


def job(kind: str = "nobody", **more: Any) -> bytes:
    return orjson.dumps({"blueprint": "one", "initial_data": {"type": kind}, **more})


async def send(site: Site, lines: Sequence[bytes], **query: str) -> Any:
    answer = await site.http.post("/api/v1/batches", params=query, data=b"\n".join(lines), headers=NDJSON)
    assert answer.status == 201, await answer.text()
    return await answer.json()


async def state(site: Site, batch: str = "b") -> Any:
    answer = await site.http.get(f"/api/v1/batches/{batch}", headers=ALICE)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def results(site: Site, query: str = "", batch: str = "b") -> list[Any]:
    answer = await site.http.get(f"/api/v1/batches/{batch}/results{query}", headers=ALICE)
    assert (answer.status, answer.content_type) == (200, "application/x-ndjson")
    return [orjson.loads(line) for line in (await answer.read()).splitlines()]


async def reaches(site: Site, **counts: int) -> None:
    async def has_reached() -> bool:
        return bool((await state(site))["counts"] == counts)

    await eventually(has_reached)


async def test_valid_lines_are_taken_and_the_others_told_with_their_numbers(site: Site) -> None:
    lines = [job(), b"", b"{", b"[]", job(blueprint="no such"), job(tags=["x"] * 8), job(tags=["x"]), b"  ", job()]
    lines.append(job(unique={"key": "k"}))
    answer = await send(site, lines, id="b")
    assert (answer["batch_id"], answer["accepted"], answer["already_there"], answer["refused"]) == ("b", 3, 0, 5)
    assert [(error["line"], error["code"]) for error in answer["errors"]] == [
        (3, "malformed_json"),
        (4, "invalid_body"),
        (5, "blueprint_not_found"),
        (6, "invalid_body"),
        (10, "invalid_body"),
    ]
    await reaches(site, waiting_for_worker=3)
    found = await state(site)
    assert (found["total"], found["live"], found["state"], found["jobs"]) == (3, 3, "running", [])
    assert [one["line"] for one in await results(site)] == [1, 7, 9]
    one = await (await site.http.get(f"/api/v1/jobs/{(await results(site))[1]['job_id']}", headers=ALICE)).json()
    assert (one["batch_id"], one["tags"]) == ("b", ["batch:b", "x"])


async def test_a_stream_that_broke_off_goes_on_where_it_was_cut(site: Site) -> None:
    whole = b"".join(job(str(number)) + b"\n" for number in range(100))

    async def broken() -> AsyncIterator[bytes]:
        yield whole[: len(whole) // 2]
        await reaches_open()
        raise ConnectionError("the cable")

    async def reaches_open() -> None:
        async def is_there() -> bool:
            return await site.engine.bulk.batch("alice", "b") is not None

        await eventually(is_there)

    with pytest.raises(ClientError):
        await site.http.post("/api/v1/batches", params={"id": "b"}, data=broken(), headers=NDJSON)
    cut = await state(site)
    assert (cut["state"], 0 < cut["total"] < 100) == ("open", True)
    answer = await send(site, [whole], id="b")
    assert answer["accepted"] + answer["already_there"] == 100
    assert answer["already_there"] >= CHUNK_LINES
    assert [one["line"] for one in await results(site)] == [*range(1, 101)]
    again = await send(site, [whole], id="b")
    assert (again["accepted"], again["already_there"], again["refused"]) == (0, 100, 0)


async def test_another_job_on_a_line_that_was_taken_and_lines_after_the_end_are_refused(site: Site) -> None:
    await send(site, [job("a"), job("b")], id="b")
    answer = await send(site, [job("a"), job("other"), job("c")], id="b")
    assert [(error["line"], error["code"]) for error in answer["errors"]] == [
        (2, "idempotency_conflict"),
        (3, "batch_closed"),
    ]
    assert answer["already_there"] == 1


async def test_a_batch_is_cancelled_in_the_background_to_its_last_job(site: Site) -> None:
    await send(site, [job()] * 130, id="b")
    answer = await site.http.post("/api/v1/batches/b/cancel", headers=ALICE)
    assert (answer.status, await answer.json()) == (200, {"batch_id": "b", "cancelling": 130})
    await reaches(site, cancelled=130)
    found = await state(site)
    assert (found["state"], found["live"]) == ("finished", 0)
    assert (await site.http.post("/api/v1/batches/b/cancel", headers=BOB)).status == 404


async def test_results_come_in_order_of_the_lines_and_by_status(site: Site) -> None:
    await send(site, [job() if number % 3 else b'{"blueprint": "one"}' for number in range(250)], id="b")
    await reaches(site, waiting_for_worker=166, **{(await _fate_of_empty(site)): 84})
    found = await results(site)
    assert [one["line"] for one in found] == [*range(1, 251)]
    ended = await results(site, f"?status={await _fate_of_empty(site)}")
    assert [one["line"] for one in ended] == [*range(1, 251, 3)]
    assert ended[0]["error"]
    assert [one["line"] for one in await results(site, "?after=248")] == [249, 250]
    assert (await site.http.get("/api/v1/batches/b/results?status=odd", headers=ALICE)).status == 400
    assert (await site.http.get("/api/v1/batches/b/results", headers=BOB)).status == 404


async def _fate_of_empty(site: Site) -> str:
    """What becomes of a job of `one` without a task type."""
    answer = await site.http.post("/api/v1/jobs/one", json={}, headers={**ALICE, "Prefer": "wait=5"})
    status: str = (await answer.json())["status"]
    return status


async def test_the_end_of_a_batch_is_told_once_and_signed(site: Site) -> None:
    told: list[tuple[Any, Any]] = []

    async def hook(request: web.Request) -> web.Response:
        told.append((request.headers, await request.json()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hook)
    async with TestServer(app) as receiver:
        await send(site, [job()] * 3, id="b", webhook_url=str(receiver.make_url("/")))
        await site.http.post("/api/v1/batches/b/cancel", headers=ALICE)
        await eventually(lambda: asyncio.sleep(0, bool(told)))
    ((headers, body),) = told
    assert headers["webhook-signature"].startswith("v1,")
    assert body == {"event": "batch_finished", "batch_id": "b", "total": 3, "counts": {"cancelled": 3}}
    refused = await site.http.post("/api/v1/batches?webhook_url=ftp://x", data=job(), headers=NDJSON)
    assert (refused.status, (await refused.json())["code"]) == (400, "webhook_url_refused")


async def test_a_stream_is_read_no_faster_than_it_is_written(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    read, gate = [0], asyncio.Event()

    async def add(_partition: int, _batch: NewBatch, lines: Sequence[BatchLine]) -> tuple[LineFate, ...]:
        await gate.wait()
        return (LineFate.MADE,) * len(lines)

    async def lines() -> AsyncIterator[list[Any]]:
        for number in range(1, 1_001):
            read[0] = number
            yield [(number, JobOrder("alice", "one", {"type": "nobody"}))]

    monkeypatch.setattr(site.state.batches, "add", add)
    loading = asyncio.ensure_future(site.engine.bulk.load("alice", "b", None, lines()))
    most = (CHUNKS_UNDER_WAY + 1) * CHUNK_LINES
    await eventually(lambda: asyncio.sleep(0, read[0] == most))
    for _ in range(20):
        await asyncio.sleep(0)
    assert read[0] == most
    gate.set()
    assert (await loading).accepted == 1_000


async def test_a_line_or_a_batch_too_many_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muster.engine.bulk.BATCH_LINES_MAX", 50)
    answer = await site.http.post("/api/v1/batches?id=b", data=b"\n".join([job()] * 51), headers=NDJSON)
    assert (answer.status, (await answer.json())["code"]) == (413, "batch_full")
    assert (await state(site))["total"] == 50
    long = await site.http.post("/api/v1/batches?id=c", data=io.BytesIO(job("x" * 1_100_000)), headers=NDJSON)
    assert (long.status, (await long.json())["code"]) == (413, "body_too_large")
    assert (await site.http.post("/api/v1/batches?id=", data=job(), headers=NDJSON)).status == 400


async def test_a_replica_has_only_so_many_first_turns_of_batches_under_way(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, most = asyncio.Event(), [0]
    (ticker,) = site.engine._tickers
    run = ticker._turns.run

    async def held(turn: Any) -> None:
        most[0] = max(most[0], ticker._first_turns)
        await gate.wait()
        await run(turn)

    monkeypatch.setattr(ticker._turns, "run", held)
    await send(site, [job()] * 60, id="b")
    await eventually(lambda: asyncio.sleep(0, most[0] == FIRST_TURNS_MAX))
    gate.set()
    await reaches(site, waiting_for_worker=60)
    assert most[0] == FIRST_TURNS_MAX
