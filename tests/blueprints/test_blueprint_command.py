"""The blueprint `command`, which every server has."""

from typing import Any

import pytest
from muster.blueprint.builtin import BUILTIN
from muster.blueprint.builtin.command import command
from muster.blueprint.check import problems_of
from muster.blueprint.facts import JobFacts
from muster.blueprint.problems import BlueprintError, InputInvalid
from muster.blueprint.registry import Registry
from muster.core.decisions import Decision, Done, Fail, Run, Sleep, WaitFor


async def decide(state: str, argument: Any = None, *, data: Any = None, **given: Any) -> Decision:
    facts = JobFacts("j", "t", "command", {"argv": ["true"], **given}, data=data)
    return (await command.enter(state, facts, argument)).decision


def test_it_has_no_problem_and_its_own_address() -> None:
    assert [problem for blueprint in BUILTIN for problem in problems_of(blueprint)] == []
    registry = Registry()
    for blueprint in BUILTIN:
        registry.add(blueprint)
    assert registry.by_endpoint("v1", "jobs/command") is command


def test_a_name_that_is_built_in_cannot_be_taken() -> None:
    registry = Registry()
    registry.add(command)
    with pytest.raises(BlueprintError, match="command"):
        registry.load("tests/blueprints/another_command.py")


async def test_it_hands_out_one_task_that_is_not_tried_again() -> None:
    decided = await decide("start", timeout_seconds=60)
    assert isinstance(decided, Run)
    assert (decided.task.type, decided.task.retries) == ("command", 0)
    assert decided.task.timeout_ms is not None
    assert decided.task.timeout_ms > 60_000
    assert isinstance(decided.task.params, dict)
    assert decided.task.params["argv"] == ["true"]


async def test_it_ends_as_its_task_does() -> None:
    ended = await decide("ended", {"exit_code": 0, "run_seconds": 1.5})
    assert isinstance(ended, Done)
    assert isinstance(ended.result, dict)
    assert ended.result["exit_code"] == 0
    broken = await decide("broken", {"code": "COMMAND_FAILED", "message": "command exited with status 7"})
    assert broken == Fail("command exited with status 7", "COMMAND_FAILED")


@pytest.mark.parametrize(("failures", "pause_ms"), [(0, 1_000), (1, 2_000), (8, 60_000)])
async def test_a_command_with_attempts_is_run_again_after_a_growing_pause(failures: int, pause_ms: int) -> None:
    error = {"code": "COMMAND_FAILED", "message": "command exited with status 7"}
    decided = await decide("broken", error, data={"failures": failures}, attempts=10)
    assert decided == Sleep(pause_ms, "run")


async def test_attempts_come_to_an_end_and_are_for_commands_that_fail_alone() -> None:
    failed = {"code": "COMMAND_FAILED", "message": "command exited with status 7"}
    assert isinstance(await decide("broken", failed, data={"failures": 2}, attempts=3), Fail)
    lost = {"code": "WORKER_LOST", "message": "gone"}
    assert await decide("broken", lost, attempts=3) == Fail("gone", "WORKER_LOST")


def test_input_that_cannot_be_run_is_refused() -> None:
    with pytest.raises(InputInvalid):
        command.validate_input({"argv": []})


async def test_it_waits_an_hour_for_the_files_it_names_and_hands_its_task_out_then() -> None:
    files = [{"name": "a", "file_id": "ab" * 16}, {"name": "b", "url": "https://example.org/b"}]
    decided = await decide("start", inputs=files)
    edges = {"success": "run", "late": "incomplete"}
    assert decided == WaitFor("inputs", edges, within_ms=3_600_000, uploads=("ab" * 16,))
    assert isinstance(await decide("run", inputs=files), Run)
    assert isinstance(await decide("start", inputs=files[1:]), Run)
    assert await decide("incomplete", inputs=files) == Fail("inputs did not arrive within 1 h")
