"""A chaos run in short; `make chaos` is a long one."""

import asyncio
from pathlib import Path

import pytest

from tests.chaos.judge import judge
from tests.chaos.machine import running
from tests.chaos.run import Plan, chaos, summary

SHORT = Plan(seed=5, seconds=1, hold_max_s=0.6, gap_max_s=0.1, bound_s=30)


@pytest.mark.timeout(240)
def test_nothing_accepted_is_lost_while_everything_is_killed_in_turn(tmp_path: Path) -> None:
    with running(tmp_path) as cluster:
        run = asyncio.run(chaos(cluster, SHORT))
    found = judge(run)
    assert not found, summary(run, found)
