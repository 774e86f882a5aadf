"""The blueprint of the page about blueprints as data, run; and its tables against the code."""

from pathlib import Path

from muster.blueprint.data.expressions import EXPRESSION_CHARACTERS_MAX, EXPRESSION_DEPTH_MAX
from muster.blueprint.data.outline import ITEM, SCOPE, VERBS
from muster.blueprint.data.reading import SPEC_BYTES_MAX, STATES_MAX
from muster.blueprint.data.yaml_text import VALUES_MAX
from muster.core.limits import FORM_SCHEMA_BYTES_MAX, RACE_CHILDREN_MAX, RACE_MAX
from muster.testing import TestMuster, hangs

from tests.docs.blocks import ROOT, blocks

PAGE = "docs/guides/blueprints-as-data.md"


async def test_the_blueprint_of_the_page_does_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "hello.yaml").write_text(blocks(PAGE, "yaml")[0])
    async with TestMuster(tmp_path / "hello.yaml") as muster:
        muster.on("hello.say", lambda params: params["text"])
        job = await muster.start("hello", {"times": 2})
        await job.signal("name", {"name": "Ann"})
        assert job.result == {"greeted": "Ann", "by": ["Hello, Ann!"]}
        late = await muster.run("hello")
        assert late.result == {"greeted": "nobody", "by": "Hello, nobody!"}


async def test_the_race_of_the_page_is_bought_or_undone(tmp_path: Path) -> None:
    (tmp_path / "purchase.yaml").write_text(blocks(PAGE, "yaml")[1])
    async with TestMuster(tmp_path / "purchase.yaml") as muster:
        muster.on("stock.reserve", {"box": 1})
        muster.on("stock.release", None)
        muster.on("shop.quote", hangs)
        muster.on("shop.buy", lambda params: {"ref": f"r{params['cents']}"})
        job = await muster.start("purchase", {"item": "tea"})
        await job.decide("agreed", form={"cents": 7})
        assert (await job.ends()).result == {"ref": "r7"}
        late = await muster.run("purchase", {"item": "tea"})
        assert (late.status, late.error) == ("failed", "no price within five minutes")
        assert muster.calls("stock.release") == [{"box": 1}]


def test_the_page_names_every_decision_with_its_members_every_name_and_the_limits() -> None:
    text = (ROOT / PAGE).read_text()
    rows = {line.split("`")[1].split(":")[0]: line for line in text.splitlines() if line.startswith("| `")}
    limits = text[text.index("¹ `timeout`") : text.index("`join` is")]
    for name, verb in VERBS.items():
        line = rows.get(name) or rows["done"]
        for member in verb.members:
            assert f"`{member}`" in (limits + line if "limits¹" in line else line), f"{name} has {member}"
    for name in (*SCOPE, ITEM):
        assert f"| `{name}` |" in text
    for number in (EXPRESSION_CHARACTERS_MAX, EXPRESSION_DEPTH_MAX, SPEC_BYTES_MAX // 1024, STATES_MAX):
        assert str(number) in text
    assert f"{VALUES_MAX:,}" in text
    assert f"has 2 to {RACE_MAX} branches of `run`, `child` (at most {RACE_CHILDREN_MAX})" in text
    assert f"| the forms of one question | {FORM_SCHEMA_BYTES_MAX // 1024} KiB" in text
