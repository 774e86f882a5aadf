"""Files that a job is given: one that its client has not is told when the job is posted, and nothing is written."""

import io
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from tests.api.conftest import ALICE, BOB
from tests.files.conftest import Site

UNKNOWN = "0" * 32


def command(*file_ids: str) -> dict[str, Any]:
    inputs = [{"name": f"f{place}", "file_id": file_id} for place, file_id in enumerate(file_ids)]
    return {"argv": ["true"], "inputs": inputs}


async def post(site: Site, path: str, body: Any, headers: Mapping[str, str] = ALICE) -> tuple[int, dict[str, Any]]:
    answer = await site.http.post(path, json=body, headers=headers)
    told: dict[str, Any] = await answer.json()
    return answer.status, {name: value for name, value in told.items() if name != "instance"}


async def start(site: Site, *file_ids: str, **more: Any) -> tuple[int, dict[str, Any]]:
    return await post(site, "/api/v1/jobs/command", {"initial_data": command(*file_ids), **more})


def jobs_of(site: Site) -> int:
    return sum(len(partition.jobs) for partition in site.state.partitions)


async def gone(site: Site, kind: str) -> str:
    if kind == "foreign":
        return await site.upload(b"secret", headers=BOB)
    if kind == "deleted":
        file_id = await site.upload(b"x")
        assert (await site.http.delete(f"/api/v1/files/{file_id}", headers=ALICE)).status == 204
        return file_id
    if kind == "foreign and planned":
        answer = await site.http.post("/api/v1/files/signed-upload", json={"name": "x"}, headers=BOB)
        return str((await answer.json())["file_id"])
    if kind == "without its bytes":
        file_id = await site.upload(b"x")
        for path in site.on_disk():
            path.unlink()
        return file_id
    return {"unknown": UNKNOWN, "no id": "../../etc/passwd"}[kind]


@pytest.mark.parametrize("kind", ["unknown", "no id", "foreign", "foreign and planned", "deleted", "without its bytes"])
async def test_a_file_that_the_client_has_not_is_refused_when_the_job_is_posted(site: Site, kind: str) -> None:
    mine, missing = await site.upload(b"mine") if kind != "without its bytes" else "", await gone(site, kind)
    given = [one for one in (mine, missing) if one]
    status, told = await start(site, *given)
    assert (status, told["code"], told["file_ids"]) == (404, "file_not_found", [missing])
    assert missing in told["detail"]
    assert jobs_of(site) == 0


async def test_a_foreign_file_of_a_job_looks_like_an_unknown_one(site: Site) -> None:
    theirs = await site.upload(b"secret", headers=BOB)
    foreign, unknown = await start(site, theirs), await start(site, UNKNOWN)
    assert orjson.loads(orjson.dumps(foreign).replace(theirs.encode(), UNKNOWN.encode())) == orjson.loads(
        orjson.dumps(unknown)
    )


async def test_uploads_and_artifacts_that_are_here_and_uploads_under_way_are_taken(site: Site) -> None:
    held = await site.hold()
    artifact = (await site.keep(held, b"made"))["artifact_id"]
    planned = await site.http.post("/api/v1/files/signed-upload", json={"name": "x"}, headers=ALICE)
    status, told = await start(site, await site.upload(b"x"), artifact, (await planned.json())["file_id"])
    assert status == 202
    assert (await site.engine.job("alice", told["job_id"])).status.value == "waiting"


async def test_a_batch_with_a_file_that_is_missing_starts_none_of_its_jobs(site: Site) -> None:
    jobs = [{"blueprint": "command", "initial_data": data} for data in (command(), command(UNKNOWN))]
    status, told = await post(site, "/api/v1/batches", {"jobs": jobs})
    assert (status, told["code"], told["member"], told["file_ids"]) == (404, "file_not_found", 1, [UNKNOWN])
    assert jobs_of(site) == 0


async def test_a_line_of_a_stream_with_a_file_that_is_missing_is_refused_and_the_others_are_taken(site: Site) -> None:
    jobs = [{"blueprint": "command", "initial_data": data} for data in (command(UNKNOWN), command())]
    lines = b"\n".join(orjson.dumps(job) for job in jobs)
    answer = await site.http.post(
        "/api/v1/batches", data=io.BytesIO(lines), headers={**ALICE, "Content-Type": "application/x-ndjson"}
    )
    told = await answer.json()
    assert (told["accepted"], told["refused"]) == (1, 1)
    assert [(one["line"], one["code"]) for one in told["errors"]] == [(1, "file_not_found")]


async def test_a_run_of_a_connection_whose_file_is_gone_is_refused_with_the_files_id(site: Site) -> None:
    file_id = await site.upload(b"x")
    saved = {"name": "nightly", "blueprint": "command", "initial_data": command(file_id)}
    assert (await post(site, "/api/v1/connections", saved))[0] == 201
    assert (await post(site, "/api/v1/connections/nightly/run", {}))[0] == 202
    assert (await site.http.delete(f"/api/v1/files/{file_id}", headers=ALICE)).status == 204
    before = jobs_of(site)
    status, told = await post(site, "/api/v1/connections/nightly/run", {})
    assert (status, told["code"], told["file_ids"]) == (500, "run_failed", [file_id])
    assert jobs_of(site) == before


async def test_a_connection_that_names_a_file_its_client_has_not_is_not_saved(site: Site) -> None:
    theirs = await site.upload(b"secret", headers=BOB)
    saved = {"name": "nightly", "blueprint": "command", "initial_data": command(theirs)}
    for method, path in (("POST", "/api/v1/connections"), ("PUT", "/api/v1/connections/nightly")):
        answer = await site.http.request(method, path, json=saved, headers=ALICE)
        told = await answer.json()
        assert (answer.status, told["code"], told["file_ids"]) == (404, "file_not_found", [theirs])
    assert (await site.http.get("/api/v1/connections/nightly", headers=ALICE)).status == 404


async def test_a_job_starts_no_child_with_a_file_that_is_missing(site: Site) -> None:
    members = [{"name": "one", "blueprint": "command", "input": command(UNKNOWN)}]
    status, told = await post(site, "/api/v1/jobs/sequence", {"initial_data": {"members": members}})
    assert status == 202
    job = await site.engine.wait("alice", told["job_id"], timeout_ms=5_000, since=None)
    assert job.status.is_final
    assert UNKNOWN in str(job.result or job.error)
    assert jobs_of(site) == 1, "no child was made"
