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
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name, page in (("shop", "docs/blueprints.md"), ("test_changing", PAGE)):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text("\n\n".join(blocks(page, "python")))
    shop: Any = import_module("shop")
    async with TestMuster(shop.shop) as kit:
        kit.on(shop.charge_card, shop.Receipt(ref="card-1"))
        kit.on(shop.pack, shop.Parcel(tracking="p"))
        ended = await kit.run(shop.shop, shop.Order(id="1", cents=5))
        told = [job_object(ended.record, None), [event_object(event) for event in ended.history()]]
    (tmp_path / "jobs_of_yesterday.json").write_bytes(orjson.dumps([told], default=plain))
    async with TestMuster() as kit:
        await import_module("test_changing").test_jobs_of_yesterday_go_the_same_way(kit)
    for name in ("shop", "test_changing"):
        monkeypatch.delitem(sys.modules, name)


def test_every_reason_to_stay_is_on_the_page() -> None:
    text = (ROOT / PAGE).read_text()
    codes = get_args(StayedJob.model_fields["code"].annotation)
    assert [code for code in codes if f"`{code}`" not in text] == []
