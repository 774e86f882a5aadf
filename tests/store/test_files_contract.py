"""What every store knows of files: uploads, artifacts, and who may add them; never their bytes."""

from typing import Any

import pytest
from muster.core.file_record import FileRecord, NewFile, PlannedUpload, artifact_id, attached_id
from muster.core.ids import JobId, TaskId
from muster.store.base import Claimed, Refusal, Store
from muster.store.file_records import AlreadySent, Holding
from muster.store.keys import short_hash

from tests.support.samples import (
    HOUR_MS,
    claim_of,
    commit_of,
    committed,
    end_of,
    first_turn,
    fresh_job_id,
    job_of,
    seat,
    waiting_job,
)

UPLOAD = "ab" * 16
ROOM: Any = {"bytes_max": 100, "files_max": 3}


def new_file(file_id: str = UPLOAD, blob: str = "one", **changes: Any) -> NewFile:
    fields: dict[str, Any] = {
        "id": file_id,
        "tenant": "acme",
        "name": "a.txt",
        "size": 5,
        "sha256": "0" * 64,
        "media_type": "text/plain",
        "blob": blob,
    }
    return NewFile(**{**fields, **changes})


async def held_task(store: Store) -> Claimed:
    await waiting_job(store)
    (claimed,) = await store.claim(0, claim_of([seat(fence="f1")]))
    return claimed


def made_by(task: TaskId, name: str = "a.txt", blob: str = "one") -> NewFile:
    return new_file(artifact_id(task, name), blob, name=name, task_id=task, step="draw")


async def keep(store: Store, task: TaskId, file: NewFile, **changes: Any) -> FileRecord | Refusal | None:
    asked: dict[str, Any] = {"attempt": 1, "fence": "f1", "files_max": 2, **changes}
    return await store.files.keep_artifact(task, asked["attempt"], asked["fence"], file, asked["files_max"])


# Accounts


async def test_an_account_takes_what_fits_and_counts_it_once(store: Store) -> None:
    assert await store.files.admit("acme", "one", 60, **ROOM)
    assert await store.files.admit("acme", "one", 60, **ROOM)
    assert not await store.files.admit("acme", "two", 41, **ROOM)
    assert await store.files.admit("acme", "two", 40, **ROOM)
    assert await store.files.admit("other", "three", 100, **ROOM)
    assert (await store.files.used("acme"), await store.files.used("other")) == (100, 100)


async def test_an_account_takes_so_many_files_and_no_more(store: Store) -> None:
    took = [await store.files.admit("acme", str(number), 0, **ROOM) for number in range(5)]
    assert took == [True, True, True, False, False]


async def test_what_is_forgotten_makes_room_once(store: Store) -> None:
    for blob in ("one", "two"):
        await store.files.admit("acme", blob, 50, **ROOM)
    for _ in range(2):
        await store.files.forget(short_hash("acme"), "one")
    assert await store.files.used("acme") == 50
    await store.files.forget(short_hash("acme"), "two")
    assert await store.files.used("acme") == 0


# Uploads


async def test_an_upload_is_read_as_it_was_written_until_it_expires(store: Store) -> None:
    kept = await store.files.keep_upload(new_file(), HOUR_MS, planned=False)
    assert kept.file == new_file()
    assert kept.expires_at == kept.created_at + HOUR_MS
    assert await store.files.upload(UPLOAD) == kept
    assert await store.files.upload("cd" * 16) is None
    await store.files.keep_upload(new_file("cd" * 16), 1, planned=False)
    while await store.files.upload("cd" * 16) is not None:
        pass


async def test_a_planned_upload_is_sent_once(store: Store) -> None:
    planned = PlannedUpload("acme", "a.txt", "text/plain")
    assert await store.files.plan_upload(UPLOAD, planned, HOUR_MS) > 0
    assert await store.files.planned_upload(UPLOAD) == planned
    assert await store.files.upload(UPLOAD) is None
    await store.files.keep_upload(new_file(), HOUR_MS, planned=True)
    assert await store.files.planned_upload(UPLOAD) is None
    assert (await store.files.keep_upload(new_file(), HOUR_MS, planned=True)).file.blob == "one"
    with pytest.raises(AlreadySent):
        await store.files.keep_upload(new_file(blob="two"), HOUR_MS, planned=True)
    with pytest.raises(AlreadySent):
        await store.files.keep_upload(new_file("cd" * 16), HOUR_MS, planned=True)
    kept = await store.files.upload(UPLOAD)
    assert kept is not None
    assert kept.file.blob == "one"


# Artifacts


async def test_the_holder_keeps_artifacts_and_replaces_them_by_name(store: Store) -> None:
    task = (await held_task(store)).task
    first, second = made_by(task), made_by(task, "b.txt", "two")
    kept = await keep(store, task, first)
    assert isinstance(kept, FileRecord)
    assert kept.expires_at is None
    assert await store.files.artifact(first.id) == kept
    await keep(store, task, second)
    assert await keep(store, task, made_by(task, "c.txt", "three")) is None
    await keep(store, task, made_by(task, blob="four"))
    job = JobId(task.partition(".")[0])
    assert {record.file.blob for record in await store.files.artifacts(job)} == {"two", "four"}
    assert await store.files.blobs([first.id, second.id, UPLOAD]) == ["four", "two", None]


@pytest.mark.parametrize("change", [{"attempt": 2}, {"fence": "f2"}])
async def test_a_superseded_attempt_keeps_nothing(store: Store, change: dict[str, Any]) -> None:
    task = (await held_task(store)).task
    assert await keep(store, task, made_by(task), **change) is Refusal.STALE
    assert await store.files.artifacts(JobId(task.partition(".")[0])) == ()


async def test_nothing_is_kept_for_a_job_that_is_over_or_unknown(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn))
    over, unknown = TaskId(f"{turn.record.id}.0"), TaskId(f"{fresh_job_id()}.0")
    elsewhere = TaskId(f"{fresh_job_id(partition=9)}.0")
    assert await keep(store, over, made_by(over)) is Refusal.FINAL
    assert await keep(store, unknown, made_by(unknown)) is Refusal.GONE
    assert await keep(store, elsewhere, made_by(elsewhere)) is Refusal.GONE
    assert await store.files.artifact(artifact_id(elsewhere, "a")) is None


async def test_artifacts_expire_with_their_job(store: Store) -> None:
    claimed = await held_task(store)
    await keep(store, claimed.task, made_by(claimed.task))
    completed: Any = await store.complete(end_of(claimed))
    await committed(store, commit_of(completed.turn))
    (kept,) = await store.files.artifacts(job_of(claimed))
    assert kept.expires_at is not None
    assert abs(kept.expires_at - kept.created_at - HOUR_MS) < 60_000


async def test_what_is_deleted_is_gone_and_its_blob_is_told(store: Store) -> None:
    task = (await held_task(store)).task
    file = made_by(task)
    await keep(store, task, file)
    await store.files.keep_upload(new_file(blob="up"), HOUR_MS, planned=False)
    assert [await store.files.delete(found) for found in (file.id, UPLOAD)] == ["one", "up"]
    assert [await store.files.delete(found) for found in (file.id, UPLOAD)] == [None, None]
    assert await store.files.artifact(file.id) is None


async def test_who_holds_a_task_is_told_with_what_it_was_given(store: Store) -> None:
    claimed = await held_task(store)
    holding = await store.files.holding(claimed.task, 1, "f1")
    assert holding == Holding("w1", "acme", b"{}")
    assert await store.files.holding(claimed.task, 1, "f2") is Refusal.STALE
    assert await store.files.holding(claimed.task, 2, "f1") is Refusal.STALE
    assert await store.files.holding(TaskId(f"{job_of(claimed)}.9"), 1, "f1") is Refusal.GONE
    assert await store.files.holding(TaskId(f"{fresh_job_id()}.0"), 1, "f1") is Refusal.GONE
    await store.complete(end_of(claimed))
    assert await store.files.holding(claimed.task, 1, "f1") is Refusal.STALE


# Jobs that wait for planned uploads


async def test_an_upload_knows_the_jobs_that_wait_for_it_from_its_plan_until_after_it_came(store: Store) -> None:
    jobs = sorted(fresh_job_id() for _ in range(3))
    planned = PlannedUpload("acme", "a.txt", "text/plain")
    assert not await store.files.expect_upload(UPLOAD, jobs[0], 2)
    assert await store.files.expecting(UPLOAD) == ()
    await store.files.plan_upload(UPLOAD, planned, HOUR_MS)
    for job in (*jobs, jobs[0]):
        assert await store.files.expect_upload(UPLOAD, job, 2)
    assert await store.files.expecting(UPLOAD) == tuple(jobs[:2])
    assert await store.files.planned_upload(UPLOAD) == planned
    await store.files.keep_upload(new_file(), HOUR_MS, planned=True)
    assert not await store.files.expect_upload(UPLOAD, jobs[2], 9)
    assert await store.files.expecting(UPLOAD) == tuple(jobs[:2])


# Artifacts that clients add


async def test_a_client_adds_an_artifact_to_a_job_that_runs_and_to_one_that_has_ended(store: Store) -> None:
    job = await waiting_job(store)
    running = await store.files.attach(job, new_file(attached_id(job, 1), "one", tags=("a", "b"), kind="data"), 2)
    assert isinstance(running, FileRecord)
    assert (running.file.tags, running.file.kind) == (("a", "b"), "data")
    assert [record.file for record in await store.files.artifacts(job)] == [running.file]
    turn = await first_turn(store)
    await committed(store, commit_of(turn))
    ended = turn.record.id
    added = await store.files.attach(ended, new_file(attached_id(ended, 2), "two"), 2)
    assert isinstance(added, FileRecord)
    (kept,) = await store.files.artifacts(ended)
    assert kept.expires_at is not None, "it goes with its job"


async def test_an_artifact_that_comes_twice_is_one_and_a_job_keeps_no_more_than_it_may(store: Store) -> None:
    job = await waiting_job(store)
    for _ in range(2):
        assert isinstance(await store.files.attach(job, new_file(attached_id(job, 1), "one"), 1), FileRecord)
    assert await store.files.attach(job, new_file(attached_id(job, 2), "two"), 1) is None
    assert len(await store.files.artifacts(job)) == 1


async def test_nothing_is_added_to_a_job_that_is_not_there(store: Store) -> None:
    nobody = fresh_job_id()
    assert await store.files.attach(nobody, new_file(attached_id(nobody, 1), "one"), 1) is Refusal.GONE
