"""What every store says of how much there is."""

from typing import Any

import pytest
from muster.core.file_record import NewFile, artifact_id, attached_id
from muster.core.ids import UnixMs
from muster.core.status import JobStatus
from muster.store.base import Store
from muster.store.figures import StoreFacts, Tally
from muster.store.journal import Line, Step, TaskEvents
from muster.store.keys import short_hash
from muster.store.link import ServerError
from muster.store.redis_figures import RedisFigures, parse_info

from tests.conftest import MakeDeployment
from tests.support.deployment import Backend
from tests.support.samples import (
    claim_of,
    commit_of,
    committed,
    end_of,
    first_turn,
    fresh_job_id,
    job_of,
    new_tasks,
    seat,
    waiting_job,
)


def file_of(file_id: str, blob: str) -> NewFile:
    return NewFile(file_id, "acme", "a", 1, "", "text/plain", blob)


async def told(store: Store, steps: int, *, lines: int = 0) -> Any:
    """A claimed task that told of so many steps."""
    await waiting_job(store)
    (claimed,) = await store.claim(0, claim_of([seat(fence="f1")]))
    entries = [*(Step(index, b"{}") for index in range(steps)), *(Line(UnixMs(1), "stdout", "x") for _ in range(lines))]
    number = int(claimed.task.rpartition(".")[2])
    await store.append(TaskEvents(job_of(claimed), number, "w1", 1, None, 0, tuple(entries), 10_000))
    return claimed


async def test_a_server_tells_its_size_its_keys_and_what_outlives_it(store: Store) -> None:
    before = await store.figures.facts()
    await waiting_job(store)
    after = await store.figures.facts()
    assert after.keys > before.keys
    assert after.used_bytes > 0
    assert after.durability in {"aof", "rdb", "none"}
    assert 0 <= after.hit_ratio <= 1


async def test_steps_and_artifacts_of_jobs_are_counted_together(store: Store) -> None:
    one, two = await told(store, 2, lines=3), await told(store, 1)
    await store.files.keep_artifact(one.task, 1, "f1", file_of(artifact_id(one.task, "a"), "one"), 10)
    await store.files.attach(job_of(one), file_of(attached_id(job_of(one), 7), "two"), 10)
    await store.complete(end_of(two))
    jobs = [job_of(one), job_of(two)]
    assert await store.figures.tally(jobs) == Tally(steps=3, artifacts=2)
    assert await store.figures.tally(jobs[1:]) == Tally(steps=1, artifacts=0)
    assert await store.figures.tally([]) == Tally(0, 0)
    assert await store.figures.tally([fresh_job_id(), fresh_job_id(partition=9)]) == Tally(0, 0)


async def test_jobs_of_all_partitions_are_counted(deploy: MakeDeployment, backend: Backend) -> None:
    store = (await deploy(backend, partitions=3).replica()).store
    jobs = []
    for partition in range(3):
        turn = await first_turn(store, partition=partition)
        jobs.append(turn.record.id)
        await store.files.attach(turn.record.id, file_of(attached_id(turn.record.id, 1), f"b{partition}"), 10)
    assert await store.figures.tally(jobs) == Tally(steps=0, artifacts=3)


async def test_a_glance_tells_whether_somebody_has_begun(store: Store) -> None:
    async def begun() -> list[tuple[JobStatus, bool]]:
        found = await store.glances("acme", tag=None, statuses=None, most=100)
        return [(one.status, one.begun) for one in found]

    assert (await first_turn(store, tenant="other")).record.has_begun is False
    turn = await first_turn(store)
    waiting = {"status": JobStatus.WAITING_FOR_WORKER, "current_task": 0}
    await committed(store, commit_of(turn, new_tasks(0, 1), **waiting))
    assert await begun() == [(JobStatus.WAITING_FOR_WORKER, False)]
    (claimed,) = await store.claim(0, claim_of([seat(fence="f1")]))
    assert await begun() == [(JobStatus.WAITING_FOR_WORKER, True)]
    record = await store.read(job_of(claimed))
    assert record is not None
    assert record.has_begun
    await store.release(claimed.task, 1, "f1")
    assert await begun() == [(JobStatus.WAITING_FOR_WORKER, False)]


async def test_a_glance_and_the_record_agree_of_a_job_without_a_task(store: Store) -> None:
    turn = await first_turn(store)
    (found,) = await store.glances("acme", tag=None, statuses=None, most=100)
    assert found.begun is False
    await committed(store, commit_of(turn, started=True))
    (found,) = await store.glances("acme", tag=None, statuses=None, most=100)
    record = await store.read(turn.record.id)
    assert record is not None
    assert found.begun is record.has_begun is True


async def test_jobs_with_files_are_those_of_the_tenants_account_newest_first(store: Store) -> None:
    first, second = fresh_job_id(), fresh_job_id()
    names = [f"{'a' * 16}-{attached_id(job, 1)}-{'0' * 16}" for job in (first, second)]
    upload = f"{'a' * 16}-{'b' * 32}-{'0' * 16}"
    for blob in (*names, upload):
        assert await store.files.admit("acme", blob, 1, bytes_max=100, files_max=10)
    assert await store.files.jobs_of("acme") == tuple(sorted([first, second], reverse=True))
    assert await store.files.jobs_of("umbrella") == ()
    await store.files.forget(short_hash("acme"), names[0])
    assert await store.files.jobs_of("acme") == (second,)


@pytest.mark.parametrize(
    ("info", "save", "durability"),
    [
        ("aof_enabled:1", "3600 1", "aof"),
        ("aof_enabled:0", "3600 1", "rdb"),
        ("aof_enabled:0", "", "none"),
        ("aof_enabled:0\r\nrdb_saves:2", None, "rdb"),
        ("aof_enabled:0\r\nrdb_saves:0", None, "none"),
    ],
)
async def test_what_outlives_the_server_is_told_also_where_its_configuration_is_hidden(
    info: str, save: str | None, durability: str
) -> None:
    async def call(*command: Any) -> Any:
        if command[0] == "INFO":
            return info.encode()
        if save is None:
            raise ServerError("NOPERM no permissions to run the 'config' command")
        return [b"save", save.encode()]

    async def run(*_: Any) -> Any:
        raise AssertionError

    assert (await RedisFigures(call, run, lambda _: None).facts()).durability == durability


def test_nothing_looked_up_is_no_hit() -> None:
    assert StoreFacts(1, 0, "none", 0, 0).hit_ratio == 0.0
    assert StoreFacts(1, 0, "none", 3, 1).hit_ratio == 0.75


def test_info_is_read_line_by_line() -> None:
    assert parse_info("# Memory\r\nused_memory:5\r\n\r\ndb0:keys=2,expires=0\r\n") == {
        "used_memory": "5",
        "db0": "keys=2,expires=0",
    }
