"""What every store lists of jobs that ended without a result: newest first, by error, by day, until they live again."""

from datetime import UTC, datetime, timedelta

from muster.core.ids import JobId
from muster.core.status import JobStatus
from muster.store.base import Position, Store, Turn
from muster.store.operations import Retry

from tests.conftest import MakeDeployment
from tests.support.deployment import Backend
from tests.support.samples import commit_of, committed, first_turn, fresh, fresh_job_id

LOST, BROKEN = "a" * 16, "b" * 16


async def failed(store: Store, fingerprint: str, **changes: object) -> JobId:
    turn = await first_turn(store, **changes)
    plan = commit_of(turn, status=JobStatus.FAILED, error="no", fingerprint=fingerprint)
    await committed(store, plan)
    return turn.record.id


async def listed(store: Store, fingerprint: str = "", before: Position | None = None, limit: int = 10) -> list[JobId]:
    return [job.id for job in (await store.operations.failures("acme", fingerprint, before, limit)).items]


async def counted(store: Store) -> dict[str, int]:
    today = datetime.now(UTC).date()
    return dict(await store.operations.errors("acme", [today - timedelta(days=1), today]))


async def test_jobs_that_ended_without_a_result_are_listed_newest_first_and_by_their_error(store: Store) -> None:
    one = await failed(store, LOST)
    two = await failed(store, BROKEN)
    three = await failed(store, LOST)
    done = await first_turn(store)
    await committed(store, commit_of(done))
    of_somebody_else = await failed(store, LOST, tenant="globex")
    assert set(await listed(store)) == {one, two, three}
    assert set(await listed(store, LOST)) == {one, three}
    assert await listed(store, BROKEN) == [two]
    assert await listed(store, "c" * 16) == []
    assert await counted(store) == {LOST: 2, BROKEN: 1}
    assert of_somebody_else not in await listed(store)


async def test_a_page_goes_on_where_the_last_one_ended(store: Store) -> None:
    jobs = {await failed(store, LOST) for _ in range(5)}
    seen: list[JobId] = []
    before = None
    while (page := await store.operations.failures("acme", LOST, before, 2)).last is not None:
        seen += [job.id for job in page.items]
        before = page.last
    assert sorted(seen) == sorted(jobs)


async def test_a_job_that_lives_again_is_not_listed_and_counts_once_when_it_fails_again(store: Store) -> None:
    job = await failed(store, LOST)
    record = await store.read(job)
    assert record is not None
    turn = await store.operations.retry(
        Retry(job, record.version, fresh(), record.blueprint_version, record.state, record.context, "retried")
    )
    assert isinstance(turn, Turn)
    assert (await listed(store), await counted(store)) == ([], {})
    await committed(store, commit_of(turn, status=JobStatus.FAILED, error="no", fingerprint=BROKEN))
    assert (await listed(store, BROKEN), await counted(store)) == ([job], {BROKEN: 1})


async def test_a_deleted_job_is_neither_listed_nor_counted(store: Store) -> None:
    job = await failed(store, LOST)
    await store.delete(job)
    assert (await listed(store), await counted(store)) == ([], {})


async def test_failures_of_all_partitions_are_listed_together(deploy: MakeDeployment, backend: Backend) -> None:
    store = (await deploy(backend, partitions=3).replica()).store
    jobs = {await failed(store, LOST, id=fresh_job_id(number)) for number in range(3)}
    assert set(await listed(store, LOST)) == jobs
    assert await counted(store) == {LOST: 3}
