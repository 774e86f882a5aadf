"""The pruning: what no record names goes, what one names stays."""

import os
import time

from muster.engine.pruning import Pruning
from muster.store.memory.store import MemoryStore

from tests.api.conftest import ALICE
from tests.files.conftest import Site


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
    pruning = Pruning(MemoryStore(site.state), site.engine.files)
    await pruning.run_once()
    assert [path.name for path in site.on_disk()] == ["new"]


async def test_bytes_on_their_way_to_a_record_are_left_alone(site: Site) -> None:
    await site.upload(b"x")
    site.state.files._uploads.clear()
    assert await Pruning(MemoryStore(site.state), site.engine.files).run_once() == 0
    assert await site.pruning.run_once() == 1


async def test_what_others_put_into_the_folder_is_not_ours_to_remove(site: Site) -> None:
    await site.upload(b"x")
    (strange := site.on_disk()[0].parent / "README").write_text("mine")
    (beside := site.folder / "notes").write_text("mine")
    await site.pruning.run_once()
    assert strange.exists()
    assert beside.exists()
