"""What every store knows of blueprints that are data, and of the live jobs of each version."""

from muster.core.record import Context, JobRecord, Wait
from muster.core.status import JobStatus
from muster.store.admission import Admission, PutOff
from muster.store.base import Refused, Store, Turn
from muster.store.blueprint_records import Head, HeadChange, Migration, NotMoved, NotSaved

from tests.support.deployment import Deployment
from tests.support.samples import (
    HOUR_MS,
    asking_job,
    commit_of,
    committed,
    decision,
    first_turn,
    fresh,
    new_job,
    new_tasks,
    waiting_job,
)
from tests.support.waiting import until


def change(revision: int = 0, nonce: str = "n1", content: bytes | None = b"{}", name: str = "orders") -> HeadChange:
    return HeadChange(name, revision, nonce, content)


async def test_what_is_saved_is_read_as_it_was(store: Store) -> None:
    content = '{"a":"b|c","d":"naïve"}'.encode()
    specs = {"1:aa": b'{"x|y":1}', "2:bb": b"{}"}
    revision = await store.blueprints.save(HeadChange("or|ders", 0, "n1", content, specs), names_max=3)
    assert revision == await store.blueprints.changes() == 1
    assert await store.blueprints.head("or|ders") == Head("or|ders", 1, content)
    assert await store.blueprints.heads() == (Head("or|ders", 1, content),)
    assert await store.blueprints.specs("or|ders", ["2:bb", "9:zz", "1:aa"]) == (b"{}", None, b'{"x|y":1}')
    assert await store.blueprints.head("other") is None
    assert await store.blueprints.specs("or|ders", []) == ()


async def test_a_change_that_was_made_from_an_older_head_is_refused_and_writes_nothing(store: Store) -> None:
    await store.blueprints.save(change(), names_max=3)
    late = HeadChange("orders", 0, "n2", b"[]", {"2:bb": b"{}"})
    assert await store.blueprints.save(late, names_max=3) is NotSaved.STALE
    assert await store.blueprints.head("orders") == Head("orders", 1, b"{}")
    assert await store.blueprints.specs("orders", ["2:bb"]) == (None,)
    assert await store.blueprints.save(change(1, "n3", b"[1]"), names_max=3) == 2


async def test_a_change_that_is_sent_twice_is_made_once(store: Store) -> None:
    first = await store.blueprints.save(change(), names_max=3)
    assert await store.blueprints.save(change(), names_max=3) == first
    assert await store.blueprints.changes() == 1


async def test_there_are_only_so_many_names_and_a_forgotten_one_makes_room(store: Store) -> None:
    await store.blueprints.save(change(name="a"), names_max=2)
    await store.blueprints.save(change(name="b"), names_max=2)
    assert await store.blueprints.save(change(name="c"), names_max=2) is NotSaved.FULL
    gone = HeadChange("a", 1, "n2", None, gone=("1:aa",))
    assert await store.blueprints.save(gone, names_max=2) == 3
    assert await store.blueprints.head("a") is None
    assert await store.blueprints.save(change(name="c"), names_max=2) == 4


async def test_versions_that_go_are_forgotten_with_the_change(store: Store) -> None:
    await store.blueprints.save(HeadChange("orders", 0, "n1", b"{}", {"1:aa": b"1", "2:bb": b"2"}), names_max=3)
    await store.blueprints.save(HeadChange("orders", 1, "n2", b"{}", {"3:cc": b"3"}, ("1:aa",)), names_max=3)
    assert await store.blueprints.specs("orders", ["1:aa", "2:bb", "3:cc"]) == (None, b"2", b"3")


async def test_every_replica_is_told_of_a_change(deployment: Deployment) -> None:
    first, second = await deployment.replica("r1"), await deployment.replica("r2")
    await first.store.blueprints.save(change(), names_max=3)
    await until(lambda: (0, "b") in first.messages and (0, "b") in second.messages)


async def test_graphs_are_published_by_version(store: Store) -> None:
    await store.blueprints.publish("orders", "1:aa", "{}")
    await store.blueprints.publish("orders", "2:bb", "[]")
    await store.blueprints.publish("other", "1:aa", "x")
    assert await store.blueprints.published("orders") == {"1:aa": "{}", "2:bb": "[]"}


async def test_live_jobs_are_found_by_their_version_until_they_end(store: Store) -> None:
    turns = [await first_turn(store, blueprint_version="1:aa") for _ in range(5)]
    await first_turn(store, blueprint_version="2:bb")
    assert await store.blueprints.live(turns[0].record.blueprint, "1:aa") == 5
    found = await pages(store, turns[0].record.blueprint, "1:aa", 2)
    assert sorted(found) == sorted(turn.record.id for turn in turns)
    await committed(store, commit_of(turns[0]))
    await store.delete(turns[1].record.id)
    assert await store.blueprints.live(turns[0].record.blueprint, "1:aa") == 3


async def pages(store: Store, name: str, version: str, limit: int) -> list[str]:
    found: list[str] = []
    after = None
    while page := await store.blueprints.jobs_of(0, name, version, after, limit):
        found += [place.job for place in page]
        after = page[-1]
    return found


async def read(store: Store, turn: Turn) -> JobRecord:
    record = await store.read(turn.record.id)
    assert record is not None
    return record


def moved(record: JobRecord, context: Context | None = None, version: str = "2:bb") -> Migration:
    return Migration(record, version, "elsewhere", context, '{"e":"migrated"}')


async def test_a_waiting_job_moves_to_another_version_and_its_wait_goes_on(store: Store) -> None:
    turn = await asking_job(store)
    before = await read(store, turn)
    assert await store.blueprints.migrate(moved(before)) is None
    after = await read(store, turn)
    assert (after.blueprint_version, after.state, after.version) == ("2:bb", "elsewhere", before.version + 1)
    assert (after.wave, after.context, after.status) == (before.wave, before.context, JobStatus.WAITING_FOR_HUMAN)
    assert after.revision > before.revision
    assert [event.blob for event in await store.history(after.id)][-1] == '{"e":"migrated"}'
    assert await store.blueprints.live(after.blueprint, before.blueprint_version) == 0
    assert await store.blueprints.live(after.blueprint, "2:bb") == 1
    answered = await store.signal(after.id, after.wave, decision(), "", fresh())
    assert isinstance(answered, Turn)
    assert answered.record.blueprint_version == "2:bb"


async def test_a_paused_job_moves_and_stays_paused(store: Store) -> None:
    turn = await asking_job(store)
    await store.operations.pause(turn.record.id, "ann", "a new version comes", "paused", "paused above")
    before = await read(store, turn)
    assert await store.blueprints.migrate(moved(before)) is None
    after = await read(store, turn)
    assert (after.status, after.pause, after.blueprint_version) == (JobStatus.PAUSED, before.pause, "2:bb")
    await store.operations.resume(after.id, fresh(), "resumed", "resumed above")
    assert (await read(store, turn)).status is JobStatus.WAITING_FOR_HUMAN


async def test_a_debounced_job_moves_and_still_waits_for_its_time_and_newest_input(store: Store) -> None:
    soon = Admission(debounce="d" * 16, delay_ms=HOUR_MS, most_ms=HOUR_MS)
    first = await store.submit(new_job(admission=soon), fresh())
    assert isinstance(first, PutOff)
    record = await store.read(first.job)
    assert record is not None
    assert await store.blueprints.migrate(moved(record)) is None
    assert (await store.tick(0, "t")).turns == ()
    assert await store.submit(new_job(admission=soon), fresh()) == PutOff(first.job, is_new=False)


async def test_a_move_may_change_where_the_wait_leads(store: Store) -> None:
    turn = await asking_job(store)
    before = await read(store, turn)
    context = Context(wait=Wait("human", {"approved": "shipped"}, message="?"), data={"a": 1})
    assert await store.blueprints.migrate(moved(before, context)) is None
    assert (await read(store, turn)).context == context


async def test_a_move_that_is_sent_twice_is_made_once(store: Store) -> None:
    turn = await asking_job(store)
    before = await read(store, turn)
    await store.blueprints.migrate(moved(before))
    once = await read(store, turn)
    assert await store.blueprints.migrate(moved(before)) is None
    assert await read(store, turn) == once


async def test_a_job_that_went_on_or_is_decided_upon_is_not_moved(store: Store) -> None:
    turn = await asking_job(store)
    before = await read(store, turn)
    await store.blueprints.migrate(moved(before))
    assert await store.blueprints.migrate(moved(before, version="3:cc")) is NotMoved.STALE
    held = await first_turn(store)
    assert await store.blueprints.migrate(moved(held.record)) is NotMoved.HELD
    await committed(store, commit_of(held))
    assert await store.blueprints.migrate(moved(await read(store, held))) is NotMoved.FINAL
    await store.delete(held.record.id)
    assert await store.blueprints.migrate(moved(held.record)) is NotMoved.GONE


async def test_what_was_decided_for_the_old_version_is_refused_after_a_move(store: Store) -> None:
    job = await waiting_job(store)
    record = await store.read(job)
    assert record is not None
    assert await store.blueprints.migrate(moved(record)) is None
    stale = commit_of(Turn("nobody's", record, ()), new_tasks(1, 1))
    assert isinstance(await store.commit(stale), Refused)
