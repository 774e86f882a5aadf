"""Values that are too large for Redis memory: kept elsewhere, and nobody above the store can tell."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from muster.core.record import Context, Submission, TaskItem
from muster.core.status import JobStatus
from muster.files.local import LocalBlobs
from muster.files.payloads import OWNER, BlobPayloads
from muster.store.base import Completed, Store, StoreFull, StoreUnavailable
from muster.store.redis import RedisStore

from tests.conftest import MakeDeployment
from tests.support.deployment import Backend, Deployment
from tests.support.samples import claim_one, commit_of, committed, end_of, first_turn, item_of, new_job, new_tasks

INLINE_MAX = 200
LARGE = "x" * 1000


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "files")


@pytest.fixture
async def deployment(deploy: MakeDeployment, real_backend: Backend) -> Deployment:
    return deploy(real_backend)


@pytest.fixture
async def store(deployment: Deployment, blobs: LocalBlobs) -> Store:
    store = (await deployment.replica()).store
    assert isinstance(store, RedisStore)
    store.keep_large_values(BlobPayloads(blobs), INLINE_MAX)
    return store


def on_disk(blobs: LocalBlobs) -> list[Path]:
    return sorted(path for path in blobs._artifacts.rglob(f"{OWNER}-*"))


def largest_value(deployment: Deployment) -> int:
    return max(len(repr(entry)) for entry in deployment.dump().entries.values())


async def test_a_job_lives_its_life_with_large_values_that_are_not_in_redis(
    store: Store, deployment: Deployment, blobs: LocalBlobs
) -> None:
    turn = await first_turn(store, submission=Submission({"text": LARGE}))
    assert turn.record.submission.initial_data == {"text": LARGE}
    tasks = new_tasks(0, 1, body=orjson.dumps({"params": LARGE}))
    await committed(store, commit_of(turn, tasks, context=Context(data={"kept": LARGE})))
    record = await store.read(turn.record.id)
    assert record is not None
    assert (record.submission.initial_data, record.context.data) == ({"text": LARGE}, {"kept": LARGE})
    claimed = await claim_one(store)
    assert orjson.loads(claimed.body) == {"params": LARGE}
    done = await store.complete(end_of(claimed, item=item_of(0, d={"found": LARGE})))
    assert isinstance(done, Completed)
    assert done.turn is not None
    (item,) = done.turn.items
    assert isinstance(item, TaskItem)
    assert item.data == {"found": LARGE}
    assert done.turn.record.context.data == {"kept": LARGE}
    await committed(store, commit_of(done.turn, result={"all": LARGE}))
    record = await store.read(turn.record.id)
    assert record is not None
    assert (record.status, record.result) == (JobStatus.FINISHED, {"all": LARGE})
    assert len(on_disk(blobs)) == 5
    assert not any(LARGE in repr(entry) for entry in deployment.dump().entries.values())


async def test_the_same_value_sent_twice_is_kept_once(store: Store, blobs: LocalBlobs) -> None:
    job = new_job(submission=Submission({"text": LARGE}))
    for _ in range(2):
        await store.submit(job, "token")
    assert len(on_disk(blobs)) == 1


async def test_small_values_stay_in_redis(store: Store, blobs: LocalBlobs) -> None:
    await first_turn(store)
    assert on_disk(blobs) == []


async def test_a_value_that_cannot_be_read_now_is_asked_for_again_and_its_job_is_not_lost(
    store: Store, blobs: LocalBlobs
) -> None:
    turn = await first_turn(store, submission=Submission({"text": LARGE}))
    (value,) = on_disk(blobs)
    away = value.rename(value.with_suffix(".away"))
    with pytest.raises(StoreUnavailable, match="MUSTER_FILES_DIR"):
        await store.read(turn.record.id)
    away.rename(value)
    record = await store.read(turn.record.id)
    assert record is not None
    assert record.submission.initial_data == {"text": LARGE}


async def test_where_there_is_no_room_for_a_value_nothing_is_written(
    store: Store, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_room(*_: Any) -> str:
        raise OSError("no space left")

    monkeypatch.setattr(BlobPayloads, "put", no_room)
    with pytest.raises(StoreFull, match="no space left"):
        await store.submit(new_job(submission=Submission({"text": LARGE})), "token")
    assert deployment.dump().entries == {}


async def test_values_are_found_by_a_store_that_keeps_more_in_redis(
    store: Store, deployment: Deployment, blobs: LocalBlobs
) -> None:
    turn = await first_turn(store, submission=Submission({"text": LARGE}))
    other = (await deployment.replica("r2")).store
    assert isinstance(other, RedisStore)
    other.keep_large_values(BlobPayloads(blobs), 10_000)
    record = await other.read(turn.record.id)
    assert record is not None
    assert record.submission.initial_data == {"text": LARGE}
