"""Examples in the documents are programs: they load, they type what they say, they run."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from muster.blueprint.check import problems_of
from muster.blueprint.loading import load_blueprints
from muster_worker import Ctx, Permanent, load_worker

from tests.docs.blocks import blocks


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def module_of(place: Path) -> ModuleType:
    return next(m for m in list(sys.modules.values()) if getattr(m, "__file__", None) == str(place))


async def test_the_blueprints_of_the_guide_load_without_a_problem_and_its_tests_pass(folder: Path) -> None:
    place = folder / "shop.py"
    place.write_text("\n\n".join(blocks("docs/blueprints.md", "python")))
    loaded = load_blueprints(place)
    assert loaded.problems == []
    assert [blueprint.name for blueprint in loaded.blueprints] == ["shop", "nightly", "twice"]
    assert [problem for blueprint in loaded.blueprints for problem in problems_of(blueprint)] == []
    tests = [value for name, value in vars(module_of(place)).items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        assert inspect.iscoroutinefunction(test)
        await test()


async def test_the_worker_of_the_guide_runs(folder: Path) -> None:
    (folder / "guide_worker.py").write_text(blocks("docs/workers.md", "python")[0])
    worker = load_worker("guide_worker")
    assert set(worker.handlers) == {"payments.charge", "reports.count"}
    module = sys.modules["guide_worker"]
    receipt = await module.charge(Ctx.for_test(), module.Charge(order_id="1", cents=500))
    assert receipt.ref == "card-test.1"
    with pytest.raises(Permanent):
        await module.charge(Ctx.for_test(), module.Charge(order_id="1", cents=0))
    assert module.count(Ctx.for_test(), {"day": "monday"}) == {"rows": 1}
