"""The crash-point sweep in short; `make sweep` is the whole of it."""

import pytest

from tests.chaos.scenarios import SCENARIOS
from tests.chaos.sweep import sweep
from tests.chaos.takeover import quick_leases
from tests.support.servers import Servers

SMOKE = [scenario for scenario in SCENARIOS if scenario.name in {"three", "retry"}]
REACHED_PART_MIN = 0.8
POINTS = 16


@pytest.mark.parametrize("scenario", SMOKE, ids=lambda scenario: scenario.name)
async def test_a_job_survives_the_death_of_a_replica_at_any_command(servers: Servers, scenario: object) -> None:
    with quick_leases():
        outcomes = await sweep(servers.get("valkey"), scenario, pairs=2, points_max=POINTS)  # type: ignore[arg-type]
    wrong = [str(outcome) for outcome in outcomes if outcome.found]
    assert not wrong, "\n".join(wrong)
    assert sum(outcome.reached for outcome in outcomes) > REACHED_PART_MIN * len(outcomes), "hardly anybody died"
