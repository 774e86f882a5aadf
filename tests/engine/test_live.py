"""One job's live events: ordered, complete, each line once, the same for whoever comes when and where."""

import asyncio
import random
from contextlib import aclosing

import pytest
from muster.core.ids import JobId
from muster.core.status import JobStatus
from muster.engine.live import JobChanged, JobEnded, LineCame
from muster.errors import ErrorCode, MusterError
from muster.store.base import Mode
from muster.store.journal import Entry, Known, LiveRead, Progress
from muster.store.memory import MemoryStore

from tests.conftest import MakeDeployment
from tests.engine.live_hands import TENANT, Replica, Teller, all_of, held, started, step, up_to, word
from tests.support.samples import claim_of, commit_of, committed, end_of, first_turn, fresh_job_id, new_tasks, seat
from tests.support.waiting import until

STORY: tuple[Entry | str, ...] = (
    "hello", step(0, "a"), "START a", "one", step(0, "a", metadata={"rows": "1"}), "two", "COMPLETE a",
    step(0, "a", "completed"), "between", step(1, "b"), "START b", step(1, "b", "failed"), "bye",
)  # fmt: skip
TOLD = [
    "1 hello",
    "step a running",
    "2 START a (a running)",
    "3 one (a running)",
    "4 two (a running)",
    "5 COMPLETE a (a running)",
    "step a completed",
    "6 between",
    "step b running",
    "7 START b (b running)",
    "step b failed",
    "8 bye",
]


async def test_whoever_comes_after_the_end_is_told_all_in_the_order_in_which_it_happened(one: Replica) -> None:
    job, task = await started(one)
    await task.tell(*STORY)
    await task.keep("a.txt")
    await task.end()
    assert await all_of(one.follow(job)) == ["job finished", *TOLD, "file a.txt", "end finished"]


async def test_a_follower_on_one_replica_hears_of_a_task_that_tells_the_other(one: Replica, two: Replica) -> None:
    job, task = await started(one)
    following = two.follow(job)
    assert word(await anext(following)) == "job waiting_for_worker"
    seen: list[str] = []
    for entry in STORY:
        await task.tell(entry)
        if not isinstance(entry, str):
            continue
        seen += await up_to(following, f"{sum('0' < w[0] <= '9' for w in seen) + 1} ")
    await task.keep("a.txt")
    seen += await up_to(following, "file a.txt")
    await task.end()
    seen += await up_to(following, "end ")
    assert [text for text in seen if not text.startswith("job ")] == [
        *TOLD[:5], "step a running", *TOLD[5:], "file a.txt", "end finished",
    ]  # fmt: skip
    with pytest.raises(StopAsyncIteration):
        await anext(following)


@pytest.mark.parametrize("after", range(9))
async def test_going_on_after_any_line_gives_the_rest_and_the_state_the_steps_were_in_then(
    deploy: MakeDeployment, after: int
) -> None:
    one = await Replica.at(deploy("memory"), "r1")
    job, task = await started(one)
    for entry in STORY:
        await task.tell(entry)
    await task.end()
    told = await all_of(one.follow(job, after))
    rest = TOLD[next(place for place, text in enumerate(TOLD) if text.startswith(f"{after} ")) + 1 :] if after else TOLD
    assert told[-len(rest) - 1 :] == [*rest, "end finished"]
    before = {1: [], 2: ["step a running"], 5: [], 6: ["step a completed"], 8: ["step a completed", "step b failed"]}
    if after in before:
        assert told[1 : -len(rest) - 1] == before[after]


async def test_what_is_read_in_many_small_pages_is_told_as_in_one(
    deploy: MakeDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await Replica.at(deploy("valkey"), "r1")
    job, task = await started(one)
    for entry in STORY:
        await task.tell(entry)
    await task.keep("a.txt")
    await task.tell("last")
    await task.end()
    whole = await all_of(one.follow(job))
    monkeypatch.setattr("muster.store.redis_journal.BYTES_PER_READ", 1)
    monkeypatch.setattr("muster.store.redis_journal.CHUNKS_PER_READ", 1)
    assert await all_of(one.follow(job)) == whole
    assert whole[-3:] == ["file a.txt", "9 last", "end finished"]


@pytest.mark.parametrize("seed", range(6))
async def test_live_or_late_every_line_has_the_step_that_was_open(deploy: MakeDeployment, seed: int) -> None:
    """Random stories of two tasks, told in random batches, followed while they are told."""
    chance = random.Random(seed)
    one = await Replica.at(deploy("memory"), "r1")
    turn = await first_turn(one.store, tenant=TENANT)
    await committed(one.store, commit_of(turn, new_tasks(0, 2)))
    tasks = [Teller(one.store, got) for got in await one.store.claim(0, claim_of([seat(fence="f1"), seat()]))]
    live = asyncio.create_task(pairs(one, turn.record.id))
    expected: list[tuple[str, str | None]] = []
    open_steps: list[int | None] = [None, None]
    begun = [0, 0]
    for _ in range(60):
        which = chance.randrange(2)
        batch: list[Entry | str] = []
        for _ in range(chance.randrange(1, 6)):
            current = open_steps[which]
            if chance.random() < 0.3:
                if current is not None:
                    batch.append(step(current, f"{which}.{current}", "completed"))
                    open_steps[which] = None
                else:
                    open_steps[which] = begun[which]
                    batch.append(step(begun[which], f"{which}.{begun[which]}"))
                    begun[which] += 1
            else:
                text = f"line {len(expected)}"
                expected.append((text, None if current is None else f"{which}.{current}"))
                batch.append(text)
        await tasks[which].tell(*batch)
        if chance.random() < 0.5:
            await asyncio.sleep(0)
    await tasks[0].store.complete(end_of(tasks[0].task))
    await tasks[1].end()
    assert await live == expected
    assert await pairs(one, turn.record.id) == expected
    half = len(expected) // 2
    assert await pairs(one, turn.record.id, half) == expected[half:]


async def pairs(place: Replica, job: JobId, after: int = 0) -> list[tuple[str, str | None]]:
    async with aclosing(place.follow(job, after)) as events:
        return [
            (event.entry.text, None if event.step is None else str(event.step.fields["name"]))
            async for event in events
            if isinstance(event, LineCame)
        ]


async def test_a_job_that_starts_and_progresses_is_shown_before_its_lines(one: Replica, two: Replica) -> None:
    turn = await first_turn(one.store, tenant=TENANT)
    await committed(one.store, commit_of(turn, new_tasks(0, 1), status=JobStatus.WAITING_FOR_WORKER, current_task=0))
    following = two.follow(turn.record.id)
    first = await anext(following)
    assert isinstance(first, JobChanged)
    assert first.record.started_at is None
    task = Teller(one.store, await held(one.store))
    second = await anext(following)
    assert isinstance(second, JobChanged)
    assert second.record.started_at is not None
    await task.tell(Progress(0.5, "half"), "a line")
    third = await anext(following)
    assert isinstance(third, JobChanged)
    assert (third.record.progress, third.record.progress_message) == (0.5, "half")
    assert word(await anext(following)) == "1 a line"
    await following.aclose()


async def test_steps_of_a_lost_attempt_are_over_when_the_next_one_tells_something(one: Replica) -> None:
    job, task = await started(one)
    await task.tell(step(0, "a"), "in a", step(1, "b"), "in b")
    await one.store.complete(end_of(task.task, mode=Mode.RETRY))
    again = Teller(one.store, await held(one.store))
    assert again.task.attempt == 2
    await again.tell("in none", step(0, "c", attempt=2), "in c", step(0, "c", "completed", attempt=2))
    await again.end()
    told = await all_of(one.follow(job))
    assert told[-5:] == ["3 in none", "step c running", "4 in c (c running)", "step c completed", "end finished"]


async def test_a_follower_who_was_there_sees_the_lost_attempts_steps_and_then_the_next_ones(one: Replica) -> None:
    job, task = await started(one)
    following = one.follow(job)
    await task.tell(step(0, "a"), "in a")
    assert (await up_to(following, "1 "))[-2:] == ["step a running", "1 in a (a running)"]
    await one.store.complete(end_of(task.task, mode=Mode.RETRY))
    again = Teller(one.store, await held(one.store))
    await again.tell("in none", step(0, "a", attempt=2), "in a again")
    told = [text for text in await up_to(following, "3 ") if not text.startswith("job ")]
    assert told == ["2 in none", "step a running", "3 in a again (a running)"]
    await following.aclose()


async def test_lines_that_are_gone_are_counted_and_the_steps_of_then_are_told_as_they_are(one: Replica) -> None:
    turn = await first_turn(one.store, tenant=TENANT)
    await committed(one.store, commit_of(turn, new_tasks(0, 1)))
    task = Teller(one.store, await held(one.store), log_bytes_max=2500)
    await task.tell(step(0, "gone"), "x" * 1000, step(0, "gone", "completed"), step(1, "b"), "x" * 1000)
    for _ in range(3):
        await task.tell("y" * 1000)
    await task.end()
    async with aclosing(one.follow(turn.record.id)) as events:
        told = [event async for event in events]
    kinds = [word(event).partition("lines")[0].strip()[:14] for event in told]
    assert kinds[:4] == ["job finished", "3 3", "step gone comp", "step b running"]
    assert isinstance(told[1], LineCame)
    assert (told[1].entry.dropped, told[1].entry.stream, told[1].entry.seq) == (3, "notice", 3)
    assert [event.entry.seq for event in told if isinstance(event, LineCame)] == [3, 4, 5]


async def test_a_step_that_was_skipped_never_ran(one: Replica) -> None:
    job, task = await started(one)
    await task.tell("x", step(0, "a", "skipped"), "y")
    await task.end()
    assert (await all_of(one.follow(job)))[1:4] == ["1 x", "step a skipped", "2 y"]


async def test_an_artifact_that_is_kept_again_is_told_again(one: Replica) -> None:
    job, task = await started(one)
    following = one.follow(job)
    await task.tell("x")
    await task.keep("a.txt")
    await up_to(following, "file a.txt")
    await task.keep("a.txt")
    await up_to(following, "file a.txt")
    await task.end()
    assert (await all_of(one.follow(job)))[1:] == ["1 x", "file a.txt", "end finished"]
    await following.aclose()


async def test_silence_is_told_and_so_is_a_server_that_stops(one: Replica) -> None:
    job, _ = await started(one)
    following = one.follow(job, quiet_s=0.02)
    assert [word(await anext(following)) for _ in range(3)] == ["job waiting_for_worker", "quiet", "quiet"]
    one.live.close()
    assert [event async for event in following] in ([], [None])


@pytest.mark.parametrize("wrong", ["tenant", "job"])
async def test_a_foreign_job_is_as_unknown_as_none(one: Replica, wrong: str) -> None:
    job, _ = await started(one)
    tenant, asked = ("other", job) if wrong == "tenant" else (TENANT, fresh_job_id())
    with pytest.raises(MusterError) as refusal:
        await anext(one.live.follow_job(tenant, asked, quiet_s=1))
    assert refusal.value.code is ErrorCode.JOB_NOT_FOUND


class CountingStore(MemoryStore):
    reads = 0

    async def read_live(self, job: JobId, known: Known, watcher: str = "") -> LiveRead | None:
        self.reads += 1
        return await super().read_live(job, known, watcher)


async def test_a_hundred_followers_of_a_job_get_all_in_order_for_the_price_of_one(
    deploy: MakeDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.deployment.MemoryStore", CountingStore)
    one = await Replica.at(deploy("memory"), "r1")
    job, task = await started(one)
    followers = [asyncio.create_task(all_of(one.follow(job))) for _ in range(100)]
    assert isinstance(one.store, CountingStore)
    await until(lambda: one.store.reads >= 1)  # type: ignore[attr-defined]
    for entry in STORY:
        await task.tell(entry)
        for _ in range(20):
            await asyncio.sleep(0)
    await task.end()
    stories = await asyncio.gather(*followers)
    lines = [[text for text in story if "0" < text[0] <= "9"] for story in stories]
    assert lines == [[text for text in TOLD if "0" < text[0] <= "9"]] * 100
    assert {story[-1] for story in stories} == {"end finished"}
    assert one.store.reads <= 60


async def test_a_follower_that_does_not_read_holds_one_page_and_is_told_all_when_it_does(
    deploy: MakeDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await Replica.at(deploy("valkey"), "r1")
    job, task = await started(one)
    monkeypatch.setattr("muster.store.redis_journal.CHUNKS_PER_READ", 2)
    slow, quick = one.follow(job), one.follow(job)
    assert word(await anext(slow)) == "job waiting_for_worker"
    await anext(quick)
    for number in range(50):
        await task.tell(f"line {number}")
        await up_to(quick, f"{number + 1} ")
    await task.end()
    numbers = [event.entry.seq async for event in slow if isinstance(event, LineCame)]
    assert numbers == list(range(1, 51))
    assert isinstance([event async for event in quick][-1], JobEnded)


async def test_a_job_that_is_gone_ends_the_stream(deploy: MakeDeployment) -> None:
    one = await Replica.at(deploy("valkey"), "r1")
    job, task = await started(one)
    following = one.follow(job)
    await anext(following)
    await one.store.flush()
    one.live.hear(0, f"j|{job}")
    assert [event async for event in following] == []
    del task
