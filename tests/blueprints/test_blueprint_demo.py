"""The demo job, from text to report, one state after the other."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

from muster.blueprint.definition import AnyBlueprint
from muster.blueprint.facts import Entered, JobFacts
from muster.blueprint.registry import Registry
from muster.core.decisions import Ask, Done, Fail, Fan, Go
from muster.core.json import JsonValue


def demo() -> AnyBlueprint:
    registry = Registry()
    registry.load("blueprints/demo.py")
    found = registry.get("demo")
    assert found is not None
    return found


async def step(blueprint: AnyBlueprint, state: str, text: str, argument: Any = None, data: Any = None) -> Entered:
    return await blueprint.enter(state, JobFacts("j", "t", "demo", {"text": text}, data), argument)


async def test_the_demo_counts_asks_and_publishes() -> None:
    blueprint, text = demo(), "the cat and the dog " * 100
    split = (await step(blueprint, "split", text)).decision
    assert isinstance(split, Fan)
    assert len(split.tasks) == 3
    counts = [{"words": {"the": 2, "cat": 1}}, {"words": {"the": 1}}]
    joined = await step(blueprint, "join", text, counts)
    assert joined.decision == Go("approve")
    asking = await step(blueprint, "approve", text, None, joined.data)
    assert isinstance(asking.decision, Ask)
    assert set(asking.decision.edges) == {"approved", "rejected"}
    published = await step(blueprint, "publish", text, {"decision": "approved", "by": "ann"}, joined.data)
    top = [{"word": "the", "count": 3}, {"word": "cat", "count": 1}]
    report = {"total_words": 4, "distinct_words": 2, "top": top, "chunks": 2, "approved_by": "ann"}
    assert published.decision == Done(cast("JsonValue", report))
    rejected = await step(blueprint, "reject", text, {"decision": "rejected", "by": "ann", "note": "too long"})
    assert rejected.decision == Fail("rejected by ann: too long")


async def test_a_huge_text_is_split_into_no_more_tasks_than_one_job_may_have() -> None:
    split = (await step(demo(), "split", "word " * 300_000)).decision
    assert isinstance(split, Fan)
    assert len(split.tasks) == 1000


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)}


def test_the_example_workers_fit_their_contracts() -> None:
    code = "import demo_worker, orders_worker"
    subprocess.run([sys.executable, "-c", code], cwd="blueprints", env=environment(), check=True)


def test_importing_muster_loads_no_model_library_yet() -> None:
    code = "import sys, muster; assert 'pydantic' not in sys.modules; muster.Blueprint; muster.task"
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)
