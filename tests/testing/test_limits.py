"""Limits, pauses, unique keys and debounce in the test kit: what may be said, and what is wrong."""

from typing import Any

import pytest
from muster import Blueprint, Job, Next, finished
from muster.core.flow import Limit, LimitRefused, Scope
from muster.errors import ErrorCode, MusterError
from muster.testing import KitError, TestMuster, later

box = Blueprint("box")


@box.start
async def begin(job: Job) -> Next:
    return job.run("pack", {}, ok=finished)


async def test_limits_are_set_listed_and_lifted(muster: TestMuster) -> None:
    await muster.limit("task", "pack", max=1)
    await muster.limit("key", "site:*", rate=1, per="1s", burst=3)
    assert await muster.limits() == (
        Limit(Scope.TASK, "pack", max=1),
        Limit(Scope.KEY, "site:*", "test", rate=1, per_ms=1000, burst=3),
    )
    await muster.lift("task", "pack")
    await muster.lift("key", "site:*")
    assert await muster.limits() == ()


async def test_what_cannot_be_a_limit_is_told(muster: TestMuster) -> None:
    with pytest.raises(LimitRefused, match="max is a whole number"):
        await muster.limit("task", "pack", max=-1)
    with pytest.raises(MusterError) as refused:
        await muster.lift("task", "pack")
    assert refused.value.code is ErrorCode.LIMIT_NOT_FOUND


@pytest.mark.parametrize("noun", ["queue", "blueprint"])
async def test_a_pause_keeps_what_runs_and_starts_nothing_more(muster: TestMuster, noun: str) -> None:
    muster.add(box)
    muster.on("pack", later("10s", {}))
    runs = await muster.start(box)
    name = {"queue": "pack", "blueprint": "box"}[noun]
    await getattr(muster, f"pause_{noun}")(name)
    waits = await muster.start(box)
    await muster.advance("1m")
    assert (runs.status, waits.status) == ("finished", "waiting_for_worker")
    await getattr(muster, f"resume_{noun}")(name)
    assert (await waits.ends()).status == "finished"


@pytest.mark.parametrize(
    ("wish", "given", "why"),
    [
        ("unique", {}, "unique is by a key"),
        ("unique", {"key": ""}, "unique is by a key"),
        ("unique", {"key": "k", "until": 3}, "unique has no 'until'; it has key, on_conflict, while"),
        ("unique", {"key": "k", "on_conflict": "panic"}, "on_conflict is one of return, refuse, replace"),
        ("unique", {"key": "k", "while": 0}, "while is 'live' or seconds from 1"),
        ("debounce", {"seconds": 5}, "debounce is by a key"),
        ("debounce", {"key": "k"}, "Say seconds="),
        ("debounce", {"key": "k", "seconds": 5, "max": 3}, "debounce has no 'max'"),
    ],
)
async def test_keys_that_cannot_be_are_told(muster: TestMuster, wish: str, given: dict[str, Any], why: str) -> None:
    wishes: dict[str, Any] = {wish: given}
    with pytest.raises(KitError, match=why):
        await muster.start(box, **wishes)
    assert muster.jobs("box") == ()


async def test_a_unique_key_for_a_time_outlasts_its_job(muster: TestMuster) -> None:
    muster.on("pack", {})
    first = await muster.start(box, unique={"key": "k", "while": 60})
    assert first.status == "finished"
    assert (await muster.start(box, unique={"key": "k", "while": 60})).id == first.id
    await muster.advance("61s")
    assert (await muster.start(box, unique={"key": "k", "while": 60})).id != first.id
    assert len(muster.started) == 2
