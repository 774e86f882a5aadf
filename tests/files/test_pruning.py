"""The pruning: what no record names goes, what one names stays."""

import os
import time
from pathlib import Path

import pytest
from muster.core.ids import JobId
from muster.engine.pruning import Pruning
from muster.engine.settings import FileSettings
from muster.files.payloads import BlobPayloads
from muster.store.memory.store import MemoryStore

from tests.api.conftest import ALICE, BOB
from tests.files.conftest import MakeSite, Site


async def test_what_is_named_by_a_record_stays(site: Site) -> None:
    file_id = await site.upload(b"kept")
    kept = await site.keep(await site.hold(), b"made")
    assert await site.pruning.run_once() == 0
    for found in (file_id, kept["artifact_id"]):
        assert (await site.http.get(f"/api/v1/files/{found}", headers=ALICE)).status == 200


async def test_the_bytes_of_expired_records_go_and_are_taken_off_the_account(site: Site) -> None:
    await site.upload(b"12345")
    held = await site.hold()
    await site.keep(held, b"123")
    await site.end(held)
    assert await site.state.files.used("alice") == 8
    later_ms = site.state.now() + 8 * 86_400_000
    site.state.now = lambda: later_ms
    for part in site.state.partitions:
        part.now = site.state.now
    site.state.files._now = site.state.now
    assert await site.pruning.run_once() == 2
    assert site.on_disk() == []
    assert await site.state.files.used("alice") == 0


async def test_half_written_files_of_dead_processes_go_once_they_are_old(site: Site) -> None:
    incoming = site.folder / "incoming"
    incoming.mkdir(parents=True)
    (incoming / "old").write_bytes(b"x")
    (incoming / "new").write_bytes(b"x")
    os.utime(incoming / "old", (time.time() - 1000, time.time() - 1000))
    pruning = Pruning(MemoryStore(site.state), site.engine.files, FileSettings())
    await pruning.run_once()
    assert [path.name for path in site.on_disk()] == ["new"]


async def test_bytes_on_their_way_to_a_record_are_left_alone(site: Site) -> None:
    await site.upload(b"x")
    site.state.files._uploads.clear()
    assert await Pruning(MemoryStore(site.state), site.engine.files, FileSettings()).run_once() == 0
    assert await site.pruning.run_once() == 1


async def test_what_others_put_into_the_folder_is_not_ours_to_remove(site: Site) -> None:
    await site.upload(b"x")
    (strange := site.on_disk()[0].parent / "README").write_text("mine")
    (beside := site.folder / "notes").write_text("mine")
    await site.pruning.run_once()
    assert strange.exists()
    assert beside.exists()


async def test_artifacts_may_be_given_less_time_than_their_job(make_site: MakeSite) -> None:
    site = await make_site(artifact_ttl_ms=60_000)
    upload = await site.upload(b"12345")
    kept = await site.keep(await site.hold(), b"123")
    path = f"/api/v1/files/{kept['artifact_id']}"
    assert (await site.http.get(path, headers=ALICE)).status == 200
    (blob,) = [found for found in site.on_disk() if kept["artifact_id"] in found.name]
    os.utime(blob, (time.time() - 61, time.time() - 61))
    await site.pruning.run_once()  # the engine's own may have been there first
    assert [upload in found.name for found in site.on_disk()] == [True]
    assert await site.state.files.used("alice") == 5


async def test_an_artifact_whose_time_is_over_says_so_for_as_long_as_its_job_is_known(make_site: MakeSite) -> None:
    site = await make_site(artifact_ttl_ms=0)
    held = await site.hold()
    kept = await site.keep(held, b"123")
    answer = await site.http.get(f"/api/v1/files/{kept['artifact_id']}", headers=ALICE)
    assert (answer.status, (await answer.json())["code"]) == (410, "file_expired")
    foreign = await site.http.get(f"/api/v1/files/{kept['artifact_id']}", headers=BOB)
    assert (foreign.status, (await foreign.json())["code"]) == (404, "file_not_found")
    zipped = await site.http.get(f"/api/v1/jobs/{held.job_id}/artifacts.zip", headers=ALICE)
    assert (zipped.status, b"a.txt" in await zipped.read()) == (200, False)


async def test_uploads_and_artifacts_may_lie_in_folders_of_their_own(make_site: MakeSite, tmp_path: Path) -> None:
    site = await make_site(upload_folder=tmp_path / "up", artifact_folder=tmp_path / "art")
    upload = await site.upload(b"12345")
    kept = await site.keep(await site.hold(), b"123")
    (uploaded,) = [path for path in (tmp_path / "up").rglob("*") if path.is_file()]
    (made,) = [path for path in (tmp_path / "art").rglob("*") if path.is_file()]
    assert upload in uploaded.name
    assert kept["artifact_id"] in made.name
    assert await site.pruning.run_once() == 0
    assert await (await site.http.get(f"/api/v1/files/{upload}", headers=ALICE)).read() == b"12345"


async def test_large_values_of_jobs_go_with_their_job(site: Site) -> None:
    held = await site.hold()
    payloads = BlobPayloads(site.engine.files.blobs)
    kept = await payloads.put(JobId(held.job_id), b"of a job that is there")
    lost = await payloads.put(JobId(held.job_id[:-1] + ("0" if held.job_id[-1] != "0" else "1")), b"of one that is not")
    await site.pruning.run_once()
    assert await payloads.get(kept) == b"of a job that is there"
    with pytest.raises(OSError):  # noqa: PT011 - the disk's own words
        await payloads.get(lost)
