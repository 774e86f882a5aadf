"""Values that are too large for Redis memory: kept elsewhere, and nobody above the store can tell."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from muster.core.record import Context, Parent, Submission, TaskItem
from muster.core.status import JobStatus
from muster.files.local import LocalBlobs
from muster.files.payloads import OWNER, BlobPayloads
from muster.store.base import Completed, Store, StoreFull, Turn
from muster.store.redis import RedisStore

from tests.conftest import MakeDeployment
from tests.support.deployment import Backend, Deployment
from tests.support.samples import (
    HOUR_MS,
    claim_of,
    claim_one,
    commit_of,
    committed,
    end_of,
    first_turn,
    item_of,
    job_of,
    new_job,
    new_tasks,
    waiting_job,
)
from tests.support.waiting import eventually

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


def take_away(blobs: LocalBlobs) -> Callable[[], None]:
    """Hide all large values; returns what brings them back."""
    hidden = [(value, value.rename(value.with_suffix(".away"))) for value in on_disk(blobs)]

    def bring_back() -> None:
        for value, away in hidden:
            away.rename(value)

    return bring_back


async def test_a_value_that_cannot_be_read_now_is_told_and_is_there_again_when_it_can(
    store: Store, blobs: LocalBlobs
) -> None:
    turn = await first_turn(store, submission=Submission({"text": LARGE}))
    bring_back = take_away(blobs)
    record = await store.read(turn.record.id)
    assert record is not None
    assert "MUSTER_FILES_DIR" in str(record.submission.initial_data["unreadable"])
    bring_back()
    record = await store.read(turn.record.id)
    assert record is not None
    assert record.submission.initial_data == {"text": LARGE}


async def test_a_task_that_cannot_be_read_now_is_not_handed_out_and_costs_no_loss(
    store: Store, blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muster.store.redis.GIVE_BACK_S", 0.01)
    large = await waiting_job(store, body=orjson.dumps({"params": LARGE}))
    small = await waiting_job(store)
    bring_back = take_away(blobs)
    (claimed,) = await store.claim(0, claim_of(2))
    assert job_of(claimed) == small
    bring_back()

    async def comes_again() -> bool:
        return [job_of(again) for again in await store.claim(0, claim_of(1))] == [large]

    await eventually(comes_again)
    task = await store.live_task(large, 0)
    assert task is not None
    assert task.losses == 0


async def test_a_turn_that_cannot_be_read_now_waits_and_takes_no_other_along(store: Store, blobs: LocalBlobs) -> None:
    large = await first_turn(store, submission=Submission({"text": LARGE}))
    small = await first_turn(store)
    for turn in (large, small):
        await store.defer(turn.record.id, turn.token, 0, failed=False)
    bring_back = take_away(blobs)
    tick = await store.tick(0, "t")
    assert [turn.record.id for turn in tick.turns] == [small.record.id]
    bring_back()
    assert isinstance(await store.cancel(large.record.id, "mine", 0, ""), tuple), "the turn is leased for now"


async def test_an_owner_gets_rid_of_a_job_whose_values_are_lost(store: Store, blobs: LocalBlobs) -> None:
    turn = await first_turn(store, submission=Submission({"text": LARGE}))
    await store.defer(turn.record.id, turn.token, HOUR_MS, failed=False)
    take_away(blobs)
    assert isinstance(await store.cancel(turn.record.id, "mine", 0, ""), tuple | Turn)
    assert (await store.jobs("acme", None, 10)).items[0].id == turn.record.id


async def test_a_child_s_input_outlives_its_parent(store: Store, blobs: LocalBlobs) -> None:
    turn = await first_turn(store)
    parent = Parent(turn.record.id, 1, 1)
    child = new_job(submission=Submission({"text": LARGE}), parent=parent)
    await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, children=(child,)))
    (value,) = on_disk(blobs)
    assert child.id.replace("-", "") in value.name
    assert turn.record.id.replace("-", "") not in value.name


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
