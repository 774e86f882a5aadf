"""What tasks keep, and the files they were given: only for the attempt that holds the task, and its tenant."""

import asyncio
import hashlib
import io
import os
import zipfile
from collections.abc import AsyncIterator

import pytest

from tests.api.conftest import ALICE, ANY_WORKER, BOB, OWN_WORKER
from tests.files.conftest import Held, MakeSite, Site, until

UNKNOWN_JOB = "018f0000-0000-7000-8000-0000000000ff"


async def listed(site: Site, job_id: str) -> list[tuple[str, int]]:
    answer = await site.http.get(f"/api/v1/jobs/{job_id}/artifacts", headers=ALICE)
    return [(item["name"], item["size"]) for item in (await answer.json())["items"]]


async def read(site: Site, held: Held, artifact_id: str) -> bytes:
    answer = await site.http.get(f"/api/v1/jobs/{held.job_id}/artifacts/{artifact_id}", headers=ALICE)
    assert answer.status == 200
    return await answer.read()


async def test_what_a_task_keeps_is_read_by_the_jobs_owner(site: Site) -> None:
    held, content = await site.hold(), os.urandom(600_000)
    kept = await site.keep(held, content, "../plot.png", step="draw")
    assert (kept["name"], kept["size"], kept["media_type"], kept["step"]) == ("plot.png", 600_000, "image/png", "draw")
    assert (kept["job_id"], kept["task_id"], kept["expires_at"]) == (held.job_id, held.task_id, None)
    assert kept["sha256"] == hashlib.sha256(content).hexdigest()
    assert await read(site, held, kept["artifact_id"]) == content
    assert (await site.http.get(f"/api/v1/files/{kept['artifact_id']}", headers=ALICE)).status == 200
    await site.end(held)
    answer = await site.http.get(f"/api/v1/jobs/{held.job_id}/artifacts", headers=ALICE)
    (after,) = (await answer.json())["items"]
    assert after["expires_at"] > after["created_at"]


async def test_a_file_sent_again_under_its_name_replaces_the_first(site: Site) -> None:
    held = await site.hold()
    first = await site.keep(held, b"first")
    second = await site.keep(held, b"second")
    assert first["artifact_id"] == second["artifact_id"]
    assert await listed(site, held.job_id) == [("a.txt", 6)]
    assert await read(site, held, second["artifact_id"]) == b"second"
    await site.pruning.run_once()
    assert len(site.on_disk()) == 1
    assert await site.state.files.used("alice") == 6


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"X-Task-Fence": "guessed"}, 409, "task_not_held"),
        ({"X-Task-Attempt": "2"}, 409, "task_not_held"),
        ({"X-Task-Attempt": "one"}, 400, "invalid_parameter"),
        ({"X-Task-Fence": ""}, 400, "invalid_parameter"),
        (OWN_WORKER, 403, "forbidden"),
        ({"X-Worker-Token": "wrong"}, 401, "unauthenticated"),
    ],
)
async def test_only_the_attempt_that_holds_the_task_keeps_files(
    site: Site, change: dict[str, str], status: int, code: str
) -> None:
    held = await site.hold()
    path = f"/_worker/tasks/{held.task_id}/artifacts?name=a"
    answer = await site.http.put(path, data=b"x", headers={**held.headers, **change})
    assert (answer.status, (await answer.json())["code"]) == (status, code)
    assert site.on_disk() == []


async def test_the_global_token_does_not_stand_for_a_worker_with_its_own(site: Site) -> None:
    body = {"worker_id": "own", "supported_tasks": ["work"], "protocol": 1}
    await site.http.post("/_worker/workers/register", json=body, headers=OWN_WORKER)
    source = await site.upload(b"x")
    held = await site.hold(worker="own", token=OWN_WORKER, source=source)
    kept = await site.keep(held, b"x")
    assert kept["name"] == "a.txt"
    stolen = {**held.headers, **ANY_WORKER}
    for method, path in (
        ("PUT", f"/_worker/tasks/{held.task_id}/artifacts"),
        ("GET", f"/_worker/files/{source}"),
    ):
        answer = await site.http.request(method, path, headers=stolen)
        assert (answer.status, (await answer.json())["code"]) == (403, "forbidden")


@pytest.mark.parametrize("task_id", ["x", "..%2f", f"{UNKNOWN_JOB}.0", "{job}.7"])
async def test_a_task_that_never_was_keeps_nothing(site: Site, task_id: str) -> None:
    held = await site.hold()
    path = f"/_worker/tasks/{task_id.replace('{job}', held.job_id)}/artifacts?name=a"
    answer = await site.http.put(path, data=b"x", headers=held.headers)
    assert (answer.status, (await answer.json())["code"]) == (404, "task_not_found")


async def test_a_task_that_ended_while_its_file_came_keeps_nothing_of_it(site: Site) -> None:
    held = await site.hold()
    arrived, go = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"x" * 300_000
        arrived.set()
        await go.wait()
        yield b"x"

    path = f"/_worker/tasks/{held.task_id}/artifacts?name=a"
    sending = asyncio.create_task(site.http.put(path, data=slowly(), headers=held.headers))
    await arrived.wait()
    await site.end(held)
    go.set()
    answer = await sending
    assert (answer.status, (await answer.json())["code"]) == (409, "task_not_held")
    assert await listed(site, held.job_id) == []
    assert site.on_disk() == []
    assert await site.state.files.used("alice") == 0


async def test_a_worker_that_dies_mid_upload_leaves_nothing(site: Site) -> None:
    held = await site.hold()
    _, writer = await asyncio.open_connection("127.0.0.1", site.http.port)
    head = f"PUT /_worker/tasks/{held.task_id}/artifacts?name=a HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in held.headers.items())
    writer.write(head.encode() + b"\r\n" + b"x" * 1_000_000)
    await writer.drain()
    await until(site.on_disk)
    writer.transport.abort()
    await until(lambda: site.on_disk() == [])
    assert await listed(site, held.job_id) == []
    assert (await site.keep(held, b"from the next attempt"))["size"] == 21


async def test_the_same_answer_for_a_foreign_job_and_an_unknown_one(site: Site) -> None:
    held = await site.hold()
    kept = await site.keep(held, b"secret")
    for suffix in ("artifacts", "artifacts.zip", f"artifacts/{kept['artifact_id']}"):
        bodies = []
        for job in (held.job_id, UNKNOWN_JOB):
            answer = await site.http.get(f"/api/v1/jobs/{job}/{suffix}", headers=BOB)
            body = await answer.json()
            assert answer.status == 404
            bodies.append({**body, "instance": ""})
        assert bodies[0] == bodies[1]
    for path in (f"/api/v1/files/{kept['artifact_id']}", f"/api/v1/files/{'0' * 48}"):
        answer = await site.http.get(path, headers=BOB)
        assert (answer.status, (await answer.json())["detail"]) == (404, "File not found")
    foreign = await site.http.post(f"/api/v1/artifacts/{kept['artifact_id']}/signed-url", headers=BOB)
    assert (foreign.status, (await foreign.json())["code"]) == (404, "file_not_found")


async def test_an_artifact_is_found_under_its_own_job_only(site: Site) -> None:
    one, other = await site.hold(), await site.hold()
    kept = await site.keep(one, b"x")
    path = f"/api/v1/jobs/{other.job_id}/artifacts/{kept['artifact_id']}"
    assert (await site.http.get(path, headers=ALICE)).status == 404
    assert (await site.http.delete(path, headers=ALICE)).status == 404
    assert await listed(site, one.job_id) == [("a.txt", 1)]
    right = f"/api/v1/jobs/{one.job_id}/artifacts/{kept['artifact_id']}"
    assert (await site.http.delete(right, headers=ALICE)).status == 204
    assert await listed(site, one.job_id) == []
    assert site.on_disk() == []


async def test_a_zip_holds_every_artifact(site: Site) -> None:
    held, content = await site.hold(), os.urandom(1_500_000)
    await site.keep(held, content, "big.bin")
    await site.keep(held, b"", "empty.txt")
    answer = await site.http.get(f"/api/v1/jobs/{held.job_id}/artifacts.zip", headers=ALICE)
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{held.job_id}.zip"'
    with zipfile.ZipFile(io.BytesIO(await answer.read())) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {"big.bin": content, "empty.txt": b""}


async def test_a_job_without_artifacts_gives_an_empty_zip(site: Site) -> None:
    held = await site.hold()
    answer = await site.http.get(f"/api/v1/jobs/{held.job_id}/artifacts.zip", headers=ALICE)
    assert zipfile.ZipFile(io.BytesIO(await answer.read())).namelist() == []


async def test_a_task_reads_the_files_that_its_input_names_and_no_others(site: Site) -> None:
    named, other = await site.upload(b"named"), await site.upload(b"other")
    foreign = await site.upload(b"foreign", headers=BOB)
    held = await site.hold(inputs=[{"file_id": named}, {"file_id": foreign}])
    answer = await site.http.get(f"/_worker/files/{named}", headers=held.headers)
    assert (answer.status, await answer.read()) == (200, b"named")
    for file_id in (other, foreign, "0" * 32, "x"):
        refused = await site.http.get(f"/_worker/files/{file_id}", headers=held.headers)
        assert (refused.status, (await refused.json())["code"]) == (404, "file_not_found")
    await site.end(held)
    late = await site.http.get(f"/_worker/files/{named}", headers=held.headers)
    assert (late.status, (await late.json())["code"]) == (409, "task_not_held")


async def test_an_artifact_can_be_the_input_of_a_later_job(site: Site) -> None:
    maker = await site.hold()
    kept = await site.keep(maker, b"made")
    await site.end(maker)
    user = await site.hold(source=f"file_id:{kept['artifact_id']}")
    answer = await site.http.get(f"/_worker/files/{kept['artifact_id']}", headers=user.headers)
    assert (answer.status, await answer.read()) == (200, b"made")


async def test_an_artifact_over_its_limit_is_refused(make_site: MakeSite) -> None:
    site = await make_site(max_artifact_bytes=1000, max_upload_bytes=10)
    held = await site.hold()
    await site.keep(held, b"x" * 1000)
    path = f"/_worker/tasks/{held.task_id}/artifacts?name=b"
    answer = await site.http.put(path, data=b"x" * 1001, headers=held.headers)
    assert (answer.status, (await answer.json())["code"]) == (413, "body_too_large")
