"""WS /ws/jobs/{id}: everything so far, then what comes, then the end."""

import asyncio

import aiohttp

from tests.conformance.cli.conftest import NEVER, Cli, at
from tests.system.processes import Cluster

FINAL = {"job_id", "status", "exit_code", "progress", "output_file", "stdout", "stderr", "resolved_input_paths"}


async def test_a_reader_is_told_every_line_once_in_order_and_then_the_end(cli: Cli) -> None:
    job_id = await cli.start("tick", {"count": 4, "delay": 0.2})
    live = await cli.frames(job_id)
    assert live.code == 1000
    assert [line for line in live.of("stdout") if line.startswith("tick")] == [f"tick {n}\n" for n in (1, 2, 3, 4)]
    assert live.of("stderr") == [f"tock {n}\n" for n in (1, 2, 3, 4)]
    assert live.of("progress") == [0.25, 0.5, 0.75, 1.0]
    assert live.last.keys() >= FINAL
    assert (live.last["job_id"], live.last["status"], live.last["exit_code"]) == (job_id, "succeeded", 0)
    assert (live.last["progress"], live.last["output_file"]) == (1.0, "output.txt")
    assert live.last["stdout"] == "".join(live.of("stdout"))
    assert live.last["stderr"] == "tock 1\ntock 2\ntock 3\ntock 4\n"
    assert live.last["resolved_input_paths"] == []


async def test_a_late_reader_is_told_the_same_as_an_early_one(cli: Cli, strict: Cli) -> None:
    job_id = await cli.start("tick", {"count": 3, "delay": 0.1})
    early = await cli.frames(job_id)
    assert (await cli.frames(job_id)).items == early.items
    assert (await strict.frames(job_id)).items == early.items


async def test_a_reader_in_the_middle_is_told_the_beginning_first(cli: Cli) -> None:
    job_id = await cli.start("tick", {"count": 3, "delay": 0.5})
    async with cli.socket(job_id) as first:
        while "tick 2\n" not in (await first.receive_json()).values():
            pass
        middle = await cli.frames(job_id)
    assert [line for line in middle.of("stdout") if line.startswith("tick")] == ["tick 1\n", "tick 2\n", "tick 3\n"]


async def test_a_filter_removes_the_other_keys_from_every_frame_and_the_last_is_always_sent(cli: Cli) -> None:
    job_id = await cli.start("tick", {"count": 2, "delay": 0})
    only = await cli.frames(job_id, "stream=progress")
    assert only.items[:-1] == [{"progress": 0.5}, {"progress": 1.0}]
    assert only.last["status"] == "succeeded"
    assert only.last.keys() & {"stdout", "stderr", "progress"} == {"progress"}
    errors = await cli.frames(job_id, "stream=stderr,nonsense")
    assert errors.items[:-1] == [{"stderr": "tock 1\n"}, {"stderr": "tock 2\n"}]
    assert errors.last.keys() & {"stdout", "stderr", "progress"} == {"stderr"}
    assert len((await cli.frames(job_id, "stream=nonsense")).items) == len((await cli.frames(job_id)).items)


async def test_a_bad_or_missing_key_closes_with_1008_and_no_data(anybody: Cli, cli: Cli) -> None:
    job_id = (await cli.run("echo", {"text": "secret"})).body["job_id"]
    for query in ("", "api_key=wrong", "api_key="):
        for asked in (job_id, NEVER, "nonsense"):
            frames = await anybody.frames(asked, query)
            assert (frames.items, frames.code) == ([], 1008)


async def test_an_unknown_and_a_foreign_job_are_told_so_and_closed_with_4404(cli: Cli, stranger: Cli) -> None:
    theirs = (await stranger.run("echo", {"text": "secret"})).body["job_id"]
    for job_id in (NEVER, "nonsense", theirs):
        frames = await cli.frames(job_id)
        assert (frames.items, frames.code) == ([{"error": "Job not found"}], 4404)


async def test_the_key_may_come_in_a_header(cli: Cli) -> None:
    job_id = (await cli.run("echo", {"text": "x"})).body["job_id"]
    async with cli.session.ws_connect(f"{cli.url}/ws/jobs/{job_id}", headers=cli.headers) as opened:
        assert await opened.receive_json() == {"stdout": "x\n"}


async def test_without_a_configured_key_anybody_may_listen(cluster: Cluster, http: aiohttp.ClientSession) -> None:
    lonely = at(http, cluster.orchestrators[2], None)
    job_id = await lonely.start("echo", {"text": "x"})
    async with lonely.socket(job_id) as opened:
        assert (await lonely.call("DELETE", f"/jobs/{job_id}")).status == 200
        last = await opened.receive_json()
    assert (last["status"], last["exit_code"]) == ("canceled", None)


async def test_a_job_of_another_blueprint_is_told_too(cli: Cli) -> None:
    started = await cli.call("POST", "/api/v1/jobs/simple_flow", {"initial_data": {}})
    job_id = started.body["job_id"]
    async with cli.socket(job_id) as opened:
        assert (await cli.call("DELETE", f"/jobs/{job_id}")).status == 200
        last = await opened.receive_json()
        closed = await opened.receive()
    assert (last["status"], last["stdout"]) == ("canceled", "")
    assert closed.data == 1000


async def test_a_plain_request_is_told_that_this_is_a_websocket(cli: Cli) -> None:
    reply = await cli.call("GET", f"/ws/jobs/{NEVER}")
    assert (reply.status, reply.body["code"]) == (400, "invalid_parameter")


async def test_many_lines_come_once_and_in_order(cli: Cli) -> None:
    script = "i=0; while [ $i -lt 5000 ]; do echo $i; i=$((i+1)); done"
    started = await cli.call("POST", "/api/v1/jobs/command", {"initial_data": {"argv": ["sh", "-c", script]}})
    readers = (cli.frames(started.body["job_id"], "stream=stdout") for _ in range(3))
    for told in await asyncio.gather(*readers):
        assert told.of("stdout") == [f"{n}\n" for n in range(5000)]
        assert told.code == 1000
