"""How limits, keys, pauses, unique keys and debounce are tested. `pytest blueprints/test_reindex.py`."""

from typing import Any

import pytest
from muster.errors import MusterError
from muster.testing import TestMuster, later
from reindex import edit, resync
from reindex_contracts import Document, Indexed, index_document
from reindex_worker import worker

DONE = Indexed(words=1)
TEA = {"name": "tea", "documents": 6}


@pytest.fixture(autouse=True)
def _index(muster: TestMuster) -> None:
    """Each document takes ten seconds, so that what runs at once can be counted."""
    muster.add(edit, resync)
    muster.on(index_document, later("10s", DONE))


def asked(muster: TestMuster) -> list[str]:
    """Whose documents were handed out, in order."""
    return [document.shop for document in muster.calls(index_document)]


async def start(muster: TestMuster, *shops: str) -> None:
    for number, shop in enumerate(shops):
        await muster.start(edit, Document(shop=shop, number=number))


# One job of many starts


async def test_a_burst_of_edits_is_indexed_once_with_the_newest_text(muster: TestMuster) -> None:
    burst: Any = {"key": "tea-7", "seconds": 5, "max_seconds": 60}
    for text in ("g", "gre", "green"):
        job = await muster.start(edit, Document(shop="tea", number=7, text=text), debounce=burst)
        await muster.advance("3s")
    assert asked(muster) == []
    await muster.advance("2s")
    assert [document.text for document in muster.calls(index_document)] == ["green"]
    assert await job.ends()
    assert len(muster.jobs("edit")) == 1


async def test_edits_that_never_stop_are_indexed_all_the_same(muster: TestMuster) -> None:
    for _ in range(20):
        await muster.start(edit, {"shop": "tea", "number": 7}, debounce={"key": "k", "seconds": 5, "max_seconds": 30})
        await muster.advance("3s")
    assert asked(muster) == ["tea", "tea"]


async def test_a_shop_is_synced_once_at_a_time(muster: TestMuster) -> None:
    first = await muster.start(resync, TEA, unique={"key": "tea"})
    again = await muster.start(resync, TEA, unique={"key": "tea"})
    assert again.id == first.id
    with pytest.raises(MusterError, match="tea"):
        await muster.start(resync, TEA, unique={"key": "tea", "on_conflict": "refuse"})
    other = await muster.start(resync, {"name": "mugs", "documents": 1}, unique={"key": "mugs"})
    assert other.id != first.id
    assert (await first.ends()).result == {"documents": 6}
    assert (await muster.start(resync, TEA, unique={"key": "tea"})).id != first.id


# Who runs


async def test_a_sync_indexes_three_documents_at_once(muster: TestMuster) -> None:
    await muster.start(resync, TEA)
    assert asked(muster) == ["tea"] * 3
    await muster.advance("10s")
    assert asked(muster) == ["tea"] * 6


async def test_each_shop_has_its_limit_and_one_that_is_full_holds_up_no_other(muster: TestMuster) -> None:
    await muster.limit("key", "shop:*", max=2)
    await start(muster, "tea", "tea", "tea", "mugs", "mugs", "mugs")
    assert sorted(asked(muster)) == ["mugs", "mugs", "tea", "tea"]


async def test_a_shop_of_its_own_pace_is_asked_at_that(muster: TestMuster) -> None:
    muster.on(index_document, DONE)
    await muster.limit("key", "shop:*", max=2)
    await muster.limit("key", "shop:slow", rate=1, per="1h")
    await start(muster, "slow", "slow", "slow", "tea", "tea", "tea")
    assert sorted(asked(muster)) == ["slow", "tea", "tea", "tea"]
    await muster.advance("1h")
    assert asked(muster).count("slow") == 2


async def test_shops_take_turns_whatever_the_length_of_their_queues(muster: TestMuster) -> None:
    await muster.limit("task", "search.index", max=1)
    await start(muster, *["tea"] * 10, "mugs", "mugs")
    await muster.advance("50s")
    assert asked(muster)[:6].count("mugs") == 2


async def test_an_edit_overtakes_a_sync_of_its_shop(muster: TestMuster) -> None:
    await muster.limit("key", "shop:tea", max=1)
    await muster.start(resync, TEA)
    await muster.start(edit, Document(shop="tea", number=99))
    await muster.advance("10s")
    assert [document.number for document in muster.calls(index_document)][-1] == 99


async def test_a_limit_is_raised_while_a_backlog_stands(muster: TestMuster) -> None:
    await muster.limit("task", "search.index", max=1)
    await start(muster, *["tea"] * 5)
    assert len(asked(muster)) == 1
    await muster.limit("task", "search.index", max=4)
    assert len(asked(muster)) == 4
    await muster.lift("task", "search.index")
    assert len(asked(muster)) == 5


async def test_what_is_paused_waits_and_says_so(muster: TestMuster) -> None:
    await muster.pause_queue("search.index")
    job = await muster.start(edit, Document(shop="tea", number=1))
    assert asked(muster) == []
    reason, *_ = (await muster.machine.ask(lambda engine: engine.why("test", job.id))).reasons
    assert (reason.code, reason.details["command"]) == ("limit_paused", "muster queue resume search.index")
    await muster.resume_queue("search.index")
    assert (await job.ends()).status == "finished"


async def test_the_real_worker_indexes(muster: TestMuster) -> None:
    muster.use(worker)
    job = await muster.run(edit, Document(shop="tea", number=1, text="green tea"))
    assert job.result == {"words": 2}
