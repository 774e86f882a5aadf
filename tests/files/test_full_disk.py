"""A disk that is really full: told as documented, nothing half kept, nothing left behind, and all goes on with room."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiohttp import ClientResponse
from muster_worker.errors import ClientError
from muster_worker.file_transfer import fetch_file
from muster_worker.files import TaskFiles
from muster_worker.transport import Transport

from tests.api.conftest import ALICE
from tests.files.conftest import Held, MakeSite, Site
from tests.files.test_sdk import url_of
from tests.support.disks import MIB, SIZE, fill, small_disk

MakeDisk = Callable[[str], Path]


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(small_disk(tmp_path / name))


@pytest.fixture
async def site(make_disk: MakeDisk, make_site: MakeSite) -> Site:
    """A server with its files on a small disk."""
    disk = make_disk("files-0")
    site = await make_site()
    assert site.folder == disk
    return site


async def in_pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


async def is_refused(answer: ClientResponse) -> None:
    told = await answer.json()
    assert (answer.status, told["code"]) == (507, "disk_full"), told


async def works(site: Site, content: bytes) -> None:
    file_id = await site.upload(content)
    assert await (await site.http.get(f"/api/v1/files/{file_id}", headers=ALICE)).read() == content
    await site.http.delete(f"/api/v1/files/{file_id}", headers=ALICE)


@pytest.mark.parametrize("announced", [True, False], ids=["with its length", "chunked"])
async def test_an_upload_that_fills_the_disk(site: Site, announced: bool) -> None:
    content = os.urandom(2 * SIZE)
    body = io.BytesIO(content) if announced else in_pieces(content)
    await is_refused(await site.http.post("/api/v1/files?name=a.bin", data=body, headers=ALICE))
    assert site.on_disk() == []
    assert await site.state.files.used("alice") == 0
    await works(site, content[: 3 * MIB])


async def test_an_upload_to_a_disk_that_others_filled_and_made_room_on(site: Site) -> None:
    kept, content = os.urandom(MIB), os.urandom(MIB)
    file_id = await site.upload(kept)
    other = fill(site.folder)
    before = site.on_disk()
    for _ in range(3):
        await is_refused(await site.http.post("/api/v1/files?name=a", data=io.BytesIO(content), headers=ALICE))
    assert site.on_disk() == before
    assert await (await site.http.get(f"/api/v1/files/{file_id}", headers=ALICE)).read() == kept
    await site.pruning.run_once()  # a full disk does not keep the server from removing
    await site.http.delete(f"/api/v1/files/{file_id}", headers=ALICE)
    await works(site, content)
    other.unlink()
    await works(site, content)


async def put(site: Site, held: Held, content: bytes, name: str = "a.bin") -> ClientResponse:
    path = f"/_worker/tasks/{held.task_id}/artifacts?name={name}"
    return await site.http.put(path, data=io.BytesIO(content), headers=held.headers)


async def listed(site: Site, held: Held) -> list[str]:
    answer = await site.http.get(f"/api/v1/jobs/{held.job_id}/artifacts", headers=ALICE)
    return [item["name"] for item in (await answer.json())["items"]]


async def test_an_artifact_that_fills_the_disk(site: Site) -> None:
    held, content = await site.hold(), os.urandom(2 * SIZE)
    await site.keep(held, content[:1000], "small.bin")
    before = site.on_disk()
    await is_refused(await put(site, held, content))
    await is_refused(await put(site, held, content, "small.bin"))
    assert site.on_disk() == before
    assert await listed(site, held) == ["small.bin"]
    assert await site.state.files.used("alice") == 1000
    await site.keep(held, content[:MIB], "a.bin")
    assert sorted(await listed(site, held)) == ["a.bin", "small.bin"]
    await site.end(held)


async def test_an_artifact_that_fills_a_disk_of_artifacts_alone(make_disk: MakeDisk, make_site: MakeSite) -> None:
    """What came in whole on one disk has no room on the other."""
    artifacts = make_disk("artifacts")
    site = await make_site(artifact_folder=artifacts)
    held, content = await site.hold(), os.urandom(2 * SIZE)
    await is_refused(await put(site, held, content))
    assert site.on_disk() == []
    assert [path for path in artifacts.rglob("*") if path.is_file()] == []
    assert await listed(site, held) == []
    assert await site.state.files.used("alice") == 0
    kept = await site.keep(held, content[:MIB])
    (path,) = [path for path in artifacts.rglob("*") if path.is_file()]
    assert (path.stat().st_size, path.stat().st_mode & 0o777) == (MIB, 0o600)
    answer = await site.http.get(f"/api/v1/jobs/{held.job_id}/artifacts/{kept['artifact_id']}", headers=ALICE)
    assert await answer.read() == content[:MIB]


async def test_what_a_server_that_died_left_half_copied_to_another_disk_is_swept_away(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site = await make_site(artifact_folder=tmp_path / "artifacts")
    half = tmp_path / "artifacts" / "incoming" / "half"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"x")
    await site.pruning.run_once()
    assert not half.exists()


async def test_the_sdk_is_told_that_the_servers_disk_is_full_and_does_not_insist(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "big.bin").write_bytes(os.urandom(2 * SIZE))
    held = await site.hold()
    async with Transport([url_of(site)], {"X-Worker-Token": "global-token"}) as transport:
        fence, loop = held.headers["X-Task-Fence"], asyncio.get_running_loop()
        files = TaskFiles(transport, loop, task_id=held.task_id, attempt=1, fence=fence)
        with pytest.raises(ClientError) as refused:
            await files.upload(tmp_path / "big.bin")
    assert (refused.value.status, refused.value.code) == (507, "disk_full")
    assert [record.message for record in caplog.records].count("disk_full") == 1
    assert site.on_disk() == []


async def test_a_download_to_a_full_disk_leaves_what_was_there(
    make_disk: MakeDisk, make_site: MakeSite, tmp_path: Path
) -> None:
    """On a worker or a client."""
    disk, site = make_disk("of-the-worker"), await make_site()
    content = os.urandom(MIB)
    file_id = await site.upload(content)
    target = disk / "data.bin"
    target.write_bytes(b"before")
    other = fill(disk)
    async with Transport([url_of(site)], ALICE) as transport:
        with pytest.raises(OSError, match="No space left"):
            await fetch_file(transport, f"/api/v1/files/{file_id}", target)
        assert sorted(path.name for path in disk.iterdir()) == ["data.bin", other.name]
        assert target.read_bytes() == b"before"
        other.unlink()
        await fetch_file(transport, f"/api/v1/files/{file_id}", target)
    assert target.read_bytes() == content
