"""GET and DELETE /jobs/{id}, the manifest and downloads."""

import io
import zipfile
from typing import Any

import pytest

from tests.conformance.cli.conftest import NEVER, Cli
from tests.system.callers import until

DOCUMENTED = {"job_id", "status", "stdout", "stderr", "exit_code", "output_file", "resolved_input_paths"}


async def copied(cli: Cli, name: str = "data.csv", content: bytes = b"a,b\n1,2\n", output: str = "out.csv") -> str:
    file_id = await cli.upload(name, content)
    body = (await cli.run("copy", {"input": f"file_id:{file_id}", "output": output})).body
    assert body["status"] == "success", body
    job_id: str = body["job_id"]
    return job_id


async def test_a_job_that_ended_has_everything_that_is_documented(cli: Cli) -> None:
    job = await cli.job(await copied(cli))
    assert job.keys() >= DOCUMENTED
    assert (job["status"], job["stdout"], job["stderr"], job["exit_code"]) == ("succeeded", "copied\n", "", 0)
    assert (job["output_file"], job["progress"]) == ("out.csv", 1.0)
    assert job["created_at"] < job["finished_at"]


async def test_a_job_that_runs_shows_what_it_printed_so_far_and_its_progress(cli: Cli) -> None:
    job_id = await cli.start("tick", {"count": 2, "delay": 2})

    async def has_ticked() -> bool:
        job = await cli.job(job_id)
        return "tick 1\n" in job["stdout"] and job["progress"] == 0.5

    await until(has_ticked, "the first tick is there")
    job = await cli.job(job_id)
    assert (job["status"], job["exit_code"], job["output_file"], job["finished_at"]) == ("running", None, None, None)
    assert job["resolved_input_paths"] is None
    assert (await cli.call("POST", f"/api/v1/jobs/{job_id}/cancel")).status == 200
    job = await cli.end_of(job_id)
    assert (job["status"], job["exit_code"]) == ("canceled", None)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("DELETE", ""), ("GET", "/manifest"), ("GET", "/download"), ("GET", "/download?zip=1")],
)
async def test_an_unknown_and_a_foreign_job_are_404_alike(cli: Cli, stranger: Cli, method: str, path: str) -> None:
    theirs = (await stranger.run("echo", {"text": "secret"})).body["job_id"]
    for job_id in (NEVER, "nonsense", theirs):
        reply = await cli.call(method, f"/jobs/{job_id}{path}")
        assert (reply.status, reply.body["detail"]) == (404, "Job not found")


async def test_a_job_of_another_surface_can_be_read_here(cli: Cli) -> None:
    started = await cli.call("POST", "/api/v1/jobs/command", {"initial_data": {"argv": ["sh", "-c", "echo x"]}})
    job = await cli.end_of(started.body["job_id"])
    assert (job["status"], job["stdout"], job["output_file"]) == ("succeeded", "x\n", None)


async def test_a_queued_job_is_canceled_once(lonely: Cli) -> None:
    job_id = await lonely.start("echo", {"text": "never"})
    job = await lonely.job(job_id)
    assert (job["status"], job["stdout"], job["stderr"], job["exit_code"]) == ("queued", "", "", None)
    reply = await lonely.call("DELETE", f"/jobs/{job_id}")
    assert (reply.status, reply.body) == (200, {"status": "canceled", "job_id": job_id})
    assert (await lonely.job(job_id))["status"] == "canceled"
    again = await lonely.call("DELETE", f"/jobs/{job_id}")
    assert (again.status, again.body["code"]) == (409, "job_final")


async def test_a_job_that_runs_or_has_ended_is_not_canceled_here(cli: Cli) -> None:
    job_id = await cli.start("tick", {"count": 1, "delay": 1.5})
    await cli.becomes(job_id, "running")
    reply = await cli.call("DELETE", f"/jobs/{job_id}")
    assert (reply.status, reply.body["code"]) == (409, "job_running")
    assert (await cli.end_of(job_id))["status"] == "succeeded"
    reply = await cli.call("DELETE", f"/jobs/{job_id}")
    assert (reply.status, reply.body["code"]) == (409, "job_final")


async def test_the_manifest_is_a_list_of_files_by_name_without_inputs(strict: Cli, cli: Cli) -> None:
    script = "printf b > b.txt; printf aa > a.csv"
    data: dict[str, Any] = {"argv": ["sh", "-c", script], "collect": ["b.txt", "a.csv"]}
    data["inputs"] = [{"name": "in.csv", "file_id": await cli.upload("in.csv", b"x")}]
    job_id = (await cli.call("POST", "/api/v1/jobs/command", {"initial_data": data})).body["job_id"]
    ended = await cli.end_of(job_id)
    manifest = (await cli.call("GET", f"/jobs/{job_id}/manifest")).body
    assert [(one["name"], one["size"], one["media_type"]) for one in manifest] == [
        ("a.csv", 2, "text/csv"),
        ("b.txt", 1, "text/plain"),
    ]
    assert all(one.keys() == {"name", "path", "size", "mtime", "media_type"} for one in manifest)
    assert manifest[0]["path"] == f"results/{job_id}/a.csv"
    assert all(isinstance(one["mtime"], int) for one in manifest)
    assert ended["output_file"] == "b.txt"
    assert (await cli.call("GET", f"/jobs/{job_id}/download")).raw == b"b"
    assert (await cli.call("GET", f"/jobs/{job_id}/download?file=a.csv")).raw == b"aa"


async def test_a_job_without_files_has_an_empty_manifest_and_no_download(cli: Cli, lonely: Cli) -> None:
    failed = (await cli.run("fail")).body["job_id"]
    queued = await lonely.start("echo", {"text": "x"})
    for caller, job_id in ((cli, failed), (lonely, queued)):
        reply = await caller.call("GET", f"/jobs/{job_id}/manifest")
        assert (reply.status, reply.body) == (200, [])
        for query in ("", "?zip=1", "?file=a.csv"):
            reply = await caller.call("GET", f"/jobs/{job_id}/download{query}")
            assert (reply.status, reply.body["code"]) == (404, "file_not_found"), query


async def test_a_download_has_its_media_type_and_is_for_saving(cli: Cli) -> None:
    job_id = await copied(cli)
    reply = await cli.call("GET", f"/jobs/{job_id}/download")
    assert (reply.status, reply.raw, reply.headers["Content-Type"]) == (200, b"a,b\n1,2\n", "text/csv")
    assert reply.headers["Content-Disposition"] == 'attachment; filename="out.csv"'
    reply = await cli.call("GET", f"/jobs/{job_id}/download?file=none.csv")
    assert (reply.status, reply.body["allowed"]) == (404, ["out.csv"])


async def test_all_files_come_as_one_zip(cli: Cli) -> None:
    job_id = await copied(cli)
    reply = await cli.call("GET", f"/jobs/{job_id}/download?zip=1")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(reply.raw)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"out.csv": b"a,b\n1,2\n"}


@pytest.mark.parametrize("name", ["..", ".", "a/b", "%2e%2e%2fout.csv", "a%5Cb", "", "a%00b", "%C3%A9.csv"])
async def test_a_name_that_is_no_single_safe_segment_is_400(cli: Cli, name: str) -> None:
    job_id = (await cli.run("echo", {"text": "x"})).body["job_id"]
    reply = await cli.call("GET", f"/jobs/{job_id}/download?file={name}")
    assert (reply.status, reply.body["code"]) == (400, "invalid_parameter")


async def test_results_whose_time_is_over_are_410(cli: Cli, strict: Cli) -> None:
    job_id = await copied(cli)

    async def is_over() -> bool:
        return (await strict.call("GET", f"/jobs/{job_id}/download")).status == 410

    await until(is_over, "the results are over for the server that keeps them for a second")
    for query in ("", "?file=out.csv", "?zip=1"):
        reply = await strict.call("GET", f"/jobs/{job_id}/download{query}")
        assert (reply.status, reply.body["code"]) == (410, "file_expired")
    assert (await strict.call("GET", f"/jobs/{job_id}/manifest")).body == []
    assert (await strict.job(job_id))["status"] == "succeeded"
