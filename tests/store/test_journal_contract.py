"""What every store does with the events of running tasks."""

from typing import Any

import pytest
from muster.core.file_record import NewFile, artifact_id
from muster.core.ids import JobId, UnixMs
from muster.core.status import JobStatus
from muster.store.base import Claimed, LeaseRef, Mode, Refusal, Refused, Store, Turn
from muster.store.journal import (
    Appended,
    AttemptStart,
    Entry,
    Known,
    Line,
    Meta,
    PlacedStep,
    Progress,
    Step,
    TaskEvents,
)
from muster.store.keys import short_hash

from tests.conftest import MakeDeployment
from tests.support.deployment import Backend, Deployment
from tests.support.dump import read_all
from tests.support.samples import (
    HOUR_MS,
    claim_one,
    commit_of,
    committed,
    end_of,
    first_turn,
    fresh_job_id,
    job_of,
    new_job,
    new_tasks,
    number_of,
    seat,
    waiting_job,
)
from tests.support.samples import claim_of as claim
from tests.support.waiting import until

MEBIBYTE = 1_048_576


def said(*texts: str, stream: Any = "stdout") -> tuple[Entry, ...]:
    return tuple(Line(UnixMs(1_700_000_000_000 + i), stream, text) for i, text in enumerate(texts))


def events_of(claimed: Claimed, entries: tuple[Entry, ...], first: int = 0, **changes: Any) -> TaskEvents:
    fields: dict[str, Any] = {
        "job": job_of(claimed),
        "number": number_of(claimed),
        "worker": "w1",
        "attempt": claimed.attempt,
        "fence": None,
        "first": first,
        "entries": entries,
        "log_bytes_max": MEBIBYTE,
    }
    return TaskEvents(**{**fields, **changes})


async def running(store: Store, **seat_fields: Any) -> Claimed:
    """A task that `w1` holds."""
    await waiting_job(store)
    (claimed,) = await store.claim(0, claim((seat(**seat_fields),)))
    return claimed


async def lines_of(store: Store, job: JobId, start: int = 1) -> list[tuple[int, str]]:
    read = await store.read_log(job, start)
    assert read is not None
    numbered = [(chunk.first + i, line.text) for chunk in read.chunks for i, line in enumerate(chunk.lines)]
    return [(number, text) for number, text in numbered if number >= start]


async def test_lines_are_read_as_they_were_told_and_numbered_from_one(store: Store) -> None:
    task = await running(store)
    assert await store.append(events_of(task, said("a", "b"))) == Appended(2)
    assert await store.append(events_of(task, said("é|\n☃", stream="stderr"), 2)) == Appended(3)
    read = await store.read_log(job_of(task), 1)
    assert read is not None
    assert (read.is_final, read.last) == (False, 3)
    assert [(chunk.first, chunk.task) for chunk in read.chunks] == [(1, 0), (3, 0)]
    assert read.chunks[0].lines == (Line(UnixMs(1_700_000_000_000), "stdout", "a"), *said("a", "b")[1:])
    assert read.chunks[1].lines == said("é|\n☃", stream="stderr")
    assert await lines_of(store, job_of(task), 2) == [(2, "b"), (3, "é|\n☃")]
    assert await lines_of(store, job_of(task), 4) == []


@pytest.mark.parametrize("stream", ["stdout", "stderr", "event"])
async def test_a_line_keeps_its_stream(store: Store, stream: str) -> None:
    task = await running(store)
    await store.append(events_of(task, said("a", stream=stream)))
    read = await store.read_log(job_of(task), 1)
    assert read is not None
    assert read.chunks[0].lines == said("a", stream=stream)


async def test_a_batch_that_is_sent_twice_is_written_once(store: Store) -> None:
    task = await running(store)
    batch = events_of(task, said("a", "b"))
    assert await store.append(batch) == Appended(2)
    assert await store.append(batch) == Appended(2)
    assert await store.append(events_of(task, said("a"))) == Appended(2)
    assert await lines_of(store, job_of(task)) == [(1, "a"), (2, "b")]


async def test_of_an_overlapping_batch_the_store_asks_for_the_rest(store: Store) -> None:
    task = await running(store)
    await store.append(events_of(task, said("a", "b")))
    assert await store.append(events_of(task, said("b", "c"), 1)) == Appended(2, taken=False)
    assert await store.append(events_of(task, said("c"), 2)) == Appended(3)
    assert [text for _, text in await lines_of(store, job_of(task))] == ["a", "b", "c"]


async def test_an_empty_batch_asks_which_event_is_wanted_next(store: Store) -> None:
    task = await running(store)
    assert await store.append(events_of(task, ())) == Appended(0)
    await store.append(events_of(task, said("a", "b")))
    assert await store.append(events_of(task, ())) == Appended(2)


async def test_events_that_never_came_are_counted_in_a_notice(store: Store) -> None:
    task = await running(store)
    await store.append(events_of(task, said("a")))
    assert await store.append(events_of(task, said("e"), 4)) == Appended(5)
    read = await store.read_log(job_of(task), 1)
    assert read is not None
    assert [(line.stream, line.text) for chunk in read.chunks for line in chunk.lines] == [
        ("stdout", "a"),
        ("notice", "3"),
        ("stdout", "e"),
    ]


async def test_only_the_attempt_that_holds_the_task_is_heard(store: Store) -> None:
    task = await running(store, fence="f1")
    batch = said("a")
    assert await store.append(events_of(task, batch, worker="w2")) == Refused(Refusal.FOREIGN)
    assert await store.append(events_of(task, batch, fence="f0")) == Refused(Refusal.STALE)
    assert await store.append(events_of(task, batch, attempt=2)) == Refused(Refusal.STALE)
    assert await store.append(events_of(task, batch, fence="f1")) == Appended(1)
    assert await store.append(events_of(task, batch, number=7)) == Refused(Refusal.GONE, 1)
    assert await store.append(events_of(task, batch, job=fresh_job_id())) == Refused(Refusal.GONE, -1)
    assert await store.append(events_of(task, batch, job=fresh_job_id(5))) == Refused(Refusal.GONE, -1)


async def test_a_further_attempt_counts_its_events_from_zero_again(store: Store) -> None:
    task = await running(store)
    await store.append(events_of(task, said("first")))
    await store.complete(end_of(task, mode=Mode.RETRY))
    assert await store.append(events_of(task, said("late"), 1)) == Refused(Refusal.STALE)
    again = await claim_one(store)
    assert again.attempt == 2
    assert await store.append(events_of(again, said("second"))) == Appended(1)
    assert await lines_of(store, job_of(task)) == [(1, "first"), (2, "second")]


async def test_beyond_its_bound_a_log_loses_its_oldest_chunks_and_keeps_the_numbers(store: Store) -> None:
    task = await running(store)
    for i in range(20):
        await store.append(events_of(task, said("x" * 100, f"{i}"), 2 * i, log_bytes_max=1000))
    read = await store.read_log(job_of(task), 1)
    assert read is not None
    first, last = read.chunks[0], read.chunks[-1]
    assert (read.last, last.first, last.lines[1].text) == (40, 39, "19")
    assert 20 < first.first < 39
    lone = await store.append(events_of(task, said("y" * 5000), 40, log_bytes_max=1000))
    assert lone == Appended(41)
    assert await lines_of(store, job_of(task)) == [(41, "y" * 5000)], "the newest chunk always stays"


async def test_a_long_log_is_read_in_several_reads(store: Store) -> None:
    task = await running(store)
    for i in range(10):
        await store.append(events_of(task, said("z" * 60_000), i))
    seen: list[int] = []
    while len(seen) < 10:
        seen += [number for number, _ in await lines_of(store, job_of(task), len(seen) + 1)]
    assert seen == list(range(1, 11))


async def test_readers_are_told_of_more_and_of_the_end(deployment: Deployment) -> None:
    one, two = await deployment.replica("r1"), await deployment.replica("r2")
    task = await running(two.store)
    read = await one.store.read_log(job_of(task), 1, "r1")
    assert read is not None
    await two.store.append(events_of(task, said("a")))
    await until(lambda: one.texts == [f"l|{job_of(task)}"])
    await two.store.append(events_of(task, said("a")))
    await two.store.append(events_of(task, (Meta("k", "v"),), 1))
    turn = await two.store.cancel(job_of(task), "t", 0, "")
    assert not isinstance(turn, Turn)
    done = await two.store.complete(end_of(task))
    assert not isinstance(done, Refused)
    assert done.turn is not None
    await committed(two.store, commit_of(done.turn, status=JobStatus.CANCELLED, clear_cancel=True))
    await until(lambda: one.texts.count(f"l|{job_of(task)}") == 2)
    read = await one.store.read_log(job_of(task), 2, "r1")
    assert read is not None
    assert (read.is_final, read.last, read.chunks) == (True, 1, ())


async def test_a_task_that_tells_something_learns_that_it_should_stop(store: Store) -> None:
    task = await running(store)
    await store.cancel(job_of(task), "t", HOUR_MS, "")
    assert await store.append(events_of(task, said("a"))) == Appended(1, cancelling=True)


async def test_steps_metadata_and_progress_are_kept_and_change_the_job(store: Store) -> None:
    task = await running(store)
    before = await store.read(job_of(task))
    told = (Step(0, b'{"a":1}'), Meta("rows", "1"), Progress(0.25, "x"), Meta("rows", "2"), Step(1, b"{}"))
    assert await store.append(events_of(task, told)) == Appended(5)
    assert await store.append(events_of(task, (Step(0, b'{"a":2}'),), 5)) == Appended(6)
    stored = await store.read_steps(job_of(task))
    assert dict(stored.steps) == {"0.0": b'{"a":2}', "0.1": b"{}"}
    assert dict(stored.metadata) == {"rows": "2"}
    after = await store.read(job_of(task))
    assert before is not None
    assert after is not None
    assert after.revision > before.revision
    assert dict((await store.read_steps(fresh_job_id())).steps) == {}
    assert await store.read_log(fresh_job_id(), 1) is None


async def test_the_progress_of_a_job_is_that_of_its_one_task(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, new_tasks(0, 1), current_task=0))
    task = await claim_one(store)
    await store.append(events_of(task, (Progress(0.25, ""), Progress(0.5, "half"))))
    record = await store.read(job_of(task))
    assert record is not None
    assert (record.progress, record.progress_message) == (0.5, "half")


async def test_steps_and_metadata_are_bounded(store: Store) -> None:
    task = await running(store)
    await store.append(events_of(task, tuple(Meta(f"k{i}", "v") for i in range(300))))
    await store.append(events_of(task, tuple(Step(i, b"{}") for i in range(1200)), 300))
    await store.append(events_of(task, (Meta("k0", "new"),), 1500))
    stored = await store.read_steps(job_of(task))
    assert (len(stored.metadata), len(stored.steps), stored.metadata["k0"]) == (256, 1000, "new")


async def test_a_final_jobs_log_expires_with_it(deploy: MakeDeployment, real_backend: Backend) -> None:
    deployment = deploy(real_backend)
    store = (await deployment.replica()).store
    task = await running(store)
    await store.append(events_of(task, (*said("a"), Step(0, b"{}"), Meta("k", "v"))))
    done = await store.complete(end_of(task))
    assert not isinstance(done, Refused)
    assert done.turn is not None
    await committed(store, commit_of(done.turn, retention_ms=HOUR_MS))
    assert deployment.server is not None
    entries = read_all(deployment.server.client).under(deployment.tags[0]).entries
    kept = {key.partition(":")[0]: entry.ttl_ms for key, entry in entries.items() if job_of(task) in key}
    assert set(kept) == {"j", "h", "lg", "sp", "md"}
    assert all(ttl is not None and ttl > HOUR_MS - 60_000 for ttl in kept.values())
    assert await lines_of(store, job_of(task)) == [(1, "a")]


@pytest.mark.parametrize("lines", [1, 500])
async def test_lines_of_two_tasks_of_a_job_share_one_numbering(store: Store, lines: int) -> None:
    await waiting_job(store, 2)
    one, two = await store.claim(0, claim(2))
    for task in (one, two, one):
        wanted = await store.append(events_of(task, ()))
        assert isinstance(wanted, Appended)
        await store.append(events_of(task, said(*["x"] * lines), wanted.next))
    numbers = [number for number, _ in await lines_of(store, job_of(one))]
    assert numbers == list(range(1, 3 * lines + 1))


# The story of a job


async def test_a_step_and_an_artifact_say_between_which_lines_they_stand(store: Store) -> None:
    task = await running(store, fence="f1")
    await store.append(events_of(task, (*said("a"), Step(0, b"{}"), *said("b", "c"), Step(0, b"{ }", is_over=True))))
    await keep(store, task, "one")
    await store.append(events_of(task, (*said("d"), Step(1, b"[]")), 5))
    read = await store.read_live(job_of(task), Known())
    assert read is not None
    assert read.steps == (PlacedStep(0, 0, 1, 1, 3, b"{ }"), PlacedStep(0, 1, 1, 4, None, b"[]"))
    assert [(record.file.name, record.line) for record in read.artifacts] == [("one", 3)]
    assert (read.last, sum(len(chunk.lines) for chunk in read.chunks), read.record.id) == (4, 4, job_of(task))


async def test_a_story_is_read_from_where_one_was(store: Store) -> None:
    task = await running(store, fence="f1")
    await store.append(events_of(task, (*said("a"), Step(0, b"{}"))))
    await keep(store, task, "one")
    first = await store.read_live(job_of(task), Known())
    assert first is not None
    known = Known(first.last, first.newest_step, first.newest_artifact)
    again = await store.read_live(job_of(task), known)
    assert again is not None
    assert (again.chunks, again.steps, again.artifacts) == ((), (), ())
    await store.append(events_of(task, (*said("b"), Step(1, b"{}"), Step(0, b"{}", is_over=True)), 2))
    await keep(store, task, "two")
    read = await store.read_live(job_of(task), known)
    assert read is not None
    assert {(step.index, step.opened, step.closed) for step in read.steps} == {(0, 1, 2), (1, 2, None)}
    assert [record.file.name for record in read.artifacts] == ["two"]
    assert [chunk.first for chunk in read.chunks] == [2]
    assert await store.read_live(fresh_job_id(), Known()) is None


async def test_a_further_attempt_ends_what_the_earlier_one_left_open(store: Store) -> None:
    task = await running(store)
    await store.append(events_of(task, (Step(0, b"{}"), *said("a"), Step(1, b"{}"))))
    await store.complete(end_of(task, mode=Mode.RETRY))
    again = await claim_one(store)
    await store.append(events_of(again, (*said("b"), Step(0, b"{}"))))
    read = await store.read_live(job_of(task), Known())
    assert read is not None
    assert set(read.steps) == {PlacedStep(0, 0, 2, 2, None, b"{}"), PlacedStep(0, 1, 1, 1, None, b"{}")}
    assert read.attempts == (AttemptStart(0, 2, 1),)


async def test_who_reads_a_story_is_told_of_lines_changes_and_artifacts(deployment: Deployment) -> None:
    one, two = await deployment.replica("r1"), await deployment.replica("r2")
    task = await running(two.store, fence="f1")
    job = job_of(task)
    await one.store.read_live(job, Known(), "r1")
    await one.store.read_live(job, Known(), "r1")
    await two.store.append(events_of(task, said("a")))
    await until(lambda: one.texts == [f"l|{job}"])
    await keep(two.store, task, "one")
    await until(lambda: one.texts == [f"l|{job}", f"j|{job}"])


async def keep(store: Store, task: Claimed, name: str) -> None:
    file = NewFile(artifact_id(task.task, name), "acme", name, 1, "", "text/plain", name)
    await store.files.keep_artifact(task.task, task.attempt, "f1", file, 10)


# Tenants


async def test_who_watches_a_tenant_is_told_of_every_change_of_its_jobs_and_no_others(deployment: Deployment) -> None:
    one, two = await deployment.replica("r1"), await deployment.replica("r2")
    store = two.store
    assert not await one.store.watch_tenant("acme", "r1", HOUR_MS)
    assert await one.store.watch_tenant("acme", "r1", HOUR_MS)
    heard: list[str] = []

    async def told(*lines: int) -> None:
        heard.extend(f"t|{short_hash('acme')}|{job}|{line}" for line in lines)
        await until(lambda: one.texts == heard)

    await waiting_job(store, tenant="another")
    turn = await first_turn(store, tenant="acme")
    job = turn.record.id
    await told(0)
    await committed(store, commit_of(turn, new_tasks(0, 1, type="mine"), current_task=0))
    await told(0)
    mine = claim((seat(fence="f1"),), classes=(short_hash("mine"),))
    (task,) = await store.claim(0, mine)
    await told(0)
    await store.append(events_of(task, (*said("a", "b"), Meta("k", "v"))))
    await told(0)
    await store.append(events_of(task, (*said("c"), Progress(0.5, "")), 3))
    await told(2)
    await store.extend(0, "w1", HOUR_MS, [LeaseRef(task.task, progress=0.6)])
    await told(3)
    await keep(store, task, "one")
    await told(3)
    await store.complete(end_of(task, mode=Mode.RETRY))
    await told(3)
    (task,) = await store.claim(0, mine)
    await told(3)
    await store.cancel(job, "t", HOUR_MS, "")
    await told(3)
    done = await store.complete(end_of(task))
    assert not isinstance(done, Refused)
    assert done.turn is not None
    await committed(store, commit_of(done.turn, status=JobStatus.CANCELLED, clear_cancel=True))
    await told(3)


async def test_a_job_whose_first_turn_is_decided_is_told_once(deployment: Deployment) -> None:
    one = await deployment.replica("r1")
    await one.store.watch_tenant("acme", "r1", HOUR_MS)
    new, token = new_job(), "t1"
    await one.store.submit(new, token, commit_of(Turn(token, new.record(UnixMs(1)), ()), new_tasks(0, 1)))
    await one.store.publish("r1", "mark")
    await until(lambda: "mark" in one.texts)
    assert one.texts == [f"t|{short_hash('acme')}|{new.id}|0", "mark"]


async def test_a_watch_ends_with_its_time_and_the_newest_eight_count(deployment: Deployment) -> None:
    replicas = [await deployment.replica(f"r{i}") for i in range(10)]
    for replica in replicas:
        assert not await replica.store.watch_tenant("acme", replica.name, HOUR_MS)
    late = await deployment.replica("late")
    assert not await late.store.watch_tenant("acme", "late", 1)
    assert not await late.store.watch_tenant("another", "late", 1)
    while await late.store.watch_tenant("another", "late", 1):
        pass
    turn = await first_turn(late.store, tenant="acme")
    await until(lambda: all(replica.texts for replica in replicas[3:]))
    assert [replica.texts for replica in replicas[:3]] == [[], [], []]
    assert replicas[9].texts == [f"t|{short_hash('acme')}|{turn.record.id}|0"]
    assert late.texts == []
    assert await replicas[9].store.watch_tenant("acme", "r9", HOUR_MS)
    assert not await replicas[0].store.watch_tenant("acme", "r0", HOUR_MS)
