"""The test of the page about changing blueprints, on jobs of a real engine; and its table of reasons."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest
from muster.api.blueprint_models import StayedJob
from muster.api.call import plain
from muster.api.wire import event_object, job_object
from muster.testing import TestMuster

from tests.docs.blocks import ROOT, blocks

PAGE = "docs/guides/changing-blueprints.md"


async def test_the_test_of_the_page_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = ("parcels", "parcels_next", "parcels_contracts", "parcels_worker", "test_changing")
    for name in modules:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(ROOT / "blueprints"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_changing.py").write_text("\n\n".join(blocks(PAGE, "python")))
    yesterday = [await told("parcels_next", 2_000), await told("parcels", 80)]
    assert await same_way(tmp_path, yesterday)
    assert not await same_way(tmp_path, [await told("parcels", 2_000)])
    for name in modules:
        monkeypatch.delitem(sys.modules, name)


async def told(module: str, grams: int) -> Any:
    """A job of one of the example's versions, as the API tells it, with its history."""
    async with TestMuster(import_module(module).parcels) as kit:
        kit.use(import_module("parcels_worker").worker)
        job = await kit.start("parcels", {"id": "7", "city": "Turin", "grams": grams})
        if not job.is_over:
            await job.signal("collected", {"by": "van 3"})
        await job.ends()
        return [job_object(job.record, None), [event_object(event) for event in job.history()]]


async def same_way(folder: Path, jobs: list[Any]) -> bool:
    """Whether the test of the page passes with *jobs*."""
    (folder / "jobs_of_yesterday.json").write_bytes(orjson.dumps(jobs, default=plain))
    sys.modules.pop("test_changing", None)
    page = import_module("test_changing")
    async with TestMuster() as kit:
        try:
            await page.test_jobs_of_yesterday_go_the_same_way(kit)
        except AssertionError:
            return False
    return True


def test_every_reason_to_stay_is_on_the_page() -> None:
    text = (ROOT / PAGE).read_text()
    codes = get_args(StayedJob.model_fields["code"].annotation)
    assert [code for code in codes if f"`{code}`" not in text] == []
