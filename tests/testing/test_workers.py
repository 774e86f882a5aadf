"""Mocks answer as workers do, and say so when they cannot."""

import pytest
from muster.testing import KitError, Stuck, TestMuster, hangs, lost
from muster_worker import Ctx, Failed, Outcome, Permanent, Retry, Worker

from tests.testing.flows import Count, Text, count_words, counter, payer, wide


async def test_a_function_gets_the_input_in_the_type_of_the_contract(muster: TestMuster) -> None:
    muster.on("text.count", lambda text: Count(total=text.words * 2))
    job = await muster.run(counter, {"words": 4})
    assert job.result == {"total": 8}
    assert muster.calls("text.count") == [Text(words=4)]


async def test_a_function_may_ask_for_its_context(muster: TestMuster) -> None:
    async def second_time(ctx: Ctx, text: Text) -> Count:
        if ctx.attempt == 1:
            raise Retry("not yet")
        return Count(total=ctx.attempt)

    muster.on(count_words, second_time)
    job = await muster.run(counter, Text(words=4))
    assert job.result == {"total": 2}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Permanent("declined"), "PERMANENT_ERROR: declined"),
        (Failed("too long", code="INVALID_INPUT_ERROR"), "INVALID_INPUT_ERROR: too long"),
        (Retry("busy"), "TRANSIENT_ERROR: busy"),
        (lost, "POISON_TASK"),
    ],
)
async def test_every_way_to_fail_can_be_mocked(muster: TestMuster, answer: object, error: str) -> None:
    muster.on(count_words, answer)
    job = await muster.run(counter, Text(words=4))
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.startswith(error)


async def test_a_function_that_raises_is_a_task_that_failed(muster: TestMuster) -> None:
    muster.on(count_words, lambda text: 1 / 0)
    job = await muster.run(counter, Text(words=4))
    assert "ZeroDivisionError" in str(job.error)


async def test_what_a_mock_asserts_fails_the_test(muster: TestMuster) -> None:
    def answer(text: Text) -> Count:
        assert text.words == 5, "five were expected"
        return Count(total=5)

    muster.on(count_words, answer)
    with pytest.raises(AssertionError, match="five were expected"):
        await muster.run(counter, Text(words=4))


async def test_a_fan_of_any_width_is_answered(muster: TestMuster) -> None:
    muster.on(count_words, lambda text: Count(total=text.words))
    job = await muster.run(wide, {"width": 200})
    assert job.result == {"total": sum(range(200))}
    assert len(muster.calls(count_words)) == 200


async def test_a_worker_is_used_as_it_is(muster: TestMuster) -> None:
    worker = Worker()

    @worker.task(count_words)
    def count(text: Text) -> Count:
        return Count(total=text.words + 1)

    muster.use(worker)
    job = await muster.run(counter, Text(words=1))
    assert job.result == {"total": 2}


async def test_a_task_that_nobody_mocks_names_itself_and_the_closest_mock(muster: TestMuster) -> None:
    muster.on("text.cuont", Count(total=1))
    with pytest.raises(Stuck, match=r"'counter' .* task 'text.count', which nobody mocks; the closest is 'text.cuont'"):
        await muster.run(counter, Text(words=1))


async def test_a_task_may_be_left_without_a_worker_on_purpose(muster: TestMuster) -> None:
    muster.nobody(count_words)
    job = await muster.start(counter, Text(words=1))
    await muster.advance("1h")
    assert job.waiting_for is not None
    assert job.waiting_for.tasks == ("text.count",)
    with pytest.raises(Stuck, match=r"nobody is to work on text\.count"):
        await job.ends()
    muster.on(count_words, Count(total=1))
    assert (await job.ends()).status == "finished"


async def test_a_script_that_is_over_says_so(muster: TestMuster) -> None:
    muster.on(count_words, [Retry("busy")])
    with pytest.raises(KitError, match="asked for 2 times, and its script has 1 answers"):
        await muster.run(counter, Text(words=1))


async def test_an_answer_that_does_not_fit_its_contract_is_the_tests_mistake(muster: TestMuster) -> None:
    muster.on(count_words, {"sum": 1})
    with pytest.raises(KitError, match=r"'text.count' answers {'sum': 1}, which is not Count"):
        await muster.run(counter, Text(words=1))


async def test_an_answer_that_can_be_no_answer_is_refused_at_once(muster: TestMuster) -> None:
    with pytest.raises(TypeError, match=r"Retry\('declined'\)"):
        muster.on(count_words, Retry)
    with pytest.raises(TypeError, match="must take"):
        muster.on(count_words, lambda: 1)


async def test_an_outcome_of_the_workers_own_leads_where_the_blueprint_says(muster: TestMuster) -> None:
    muster.on(count_words, Outcome("odd", {"of": 3}))
    job = await muster.run(counter, Text(words=1))
    assert job.status == "quarantined" or "odd" in str(job.error)


async def test_a_cancelled_job_ends_its_task(muster: TestMuster) -> None:
    muster.on(count_words, hangs)
    job = await muster.start(counter, Text(words=1))
    await job.cancel()
    assert job.status == "cancelled"


async def test_a_mock_may_give_a_signal_to_another_job(muster: TestMuster) -> None:
    paid = await muster.start(payer)

    async def answer(text: Text) -> Count:
        await paid.signal("paid", {"cents": text.words})
        return Count(total=1)

    muster.on(count_words, answer)
    await muster.run(counter, Text(words=9))
    assert paid.result == {"cents": 9}
