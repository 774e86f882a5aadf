"""The blueprint `sequence`, which every server has."""

from typing import Any

import pytest
from muster.blueprint.builtin.sequence import sequence
from muster.blueprint.facts import Entered, JobFacts
from muster.blueprint.problems import InputInvalid
from muster.core.decisions import Child, Done

JOB = "018f0000-0000-7005-8000-000000000001"
MEMBERS: list[dict[str, Any]] = [
    {"name": name, "blueprint": "orders", "input": {"n": name}, "tags": [name]} for name in "abc"
]


async def enter(state: str, data: Any = None, argument: Any = None) -> Entered:
    return await sequence.enter(state, JobFacts(JOB, "t", "sequence", {"members": MEMBERS}, data), argument)


def started(entered: Entered) -> Child:
    assert isinstance(entered.decision, Child)
    return entered.decision


async def test_it_starts_one_member_after_another_and_tells_how_far_it_is() -> None:
    first = await enter("start")
    assert (started(first).blueprint, started(first).input, started(first).tags) == ("orders", {"n": "a"}, ("a",))
    children = {"a": started(first).id}
    assert first.data == {"current": "a", "completed": [], "children": children, "failed": {}}
    second = await enter("member_finished", first.data, {"any": "result"})
    children["b"] = started(second).id
    assert second.data == {"current": "b", "completed": ["a"], "children": children, "failed": {}}


async def test_a_member_that_fails_does_not_stop_it_and_its_reason_is_kept() -> None:
    first = await enter("start")
    error = {"code": "COMMAND_FAILED", "message": "status 7", "attempt": 1, "child": started(first).id}
    second = await enter("member_failed", first.data, error)
    none = {"code": "BLUEPRINT_NOT_FOUND", "message": "none such", "attempt": 0, "child": None}
    third = await enter("member_failed", second.data, none)
    last = await enter("member_finished", third.data)
    assert last.decision == Done(
        {
            "current": None,
            "completed": ["a", "b", "c"],
            "children": {"a": started(first).id, "c": started(third).id},
            "failed": {"a": "COMMAND_FAILED: status 7", "b": "BLUEPRINT_NOT_FOUND: none such"},
        }
    )


@pytest.mark.parametrize(
    "members",
    [[], [{**MEMBERS[0], "name": f"m{n}"} for n in range(1_001)], [MEMBERS[0], MEMBERS[0]], [{"name": "a"}], "abc"],
)
def test_it_takes_one_to_a_thousand_members_with_names_of_their_own(members: Any) -> None:
    with pytest.raises(InputInvalid):
        sequence.validate_input({"members": members})


def test_a_wish_to_cancel_is_nothing_it_answers_so_no_further_member_starts() -> None:
    assert not [edge for edge in sequence.graph.edges if "cancelled" in edge.label]
