"""`python -m tests.chaos.hasty server`: the server, taking over what a dead replica left after seconds."""

from muster.cli import app
from muster.engine import decider
from muster.store import redis

if __name__ == "__main__":
    redis.TURN_LEASE_MS = 2_000  # type: ignore[attr-defined]
    redis.TICK_HOLD_MS = 1_000  # type: ignore[misc]
    decider.TURN_TIMEOUT_MS = 1_500  # type: ignore[attr-defined]
    app.main()
