"""`python -m tests.system.impatient server`: the server with other bounds than it ships with.

MUSTER_TEST_LIMITS holds them: `muster.engine.guard:BLOCKED_MAX_S=0.4 …`, separated by blanks. They hold in every module
that has taken the name from there.
"""

import os
import sys
from importlib import import_module

from muster.cli import app

SHORT_TURNS = "muster.engine.decider:TURN_TIMEOUT_MS=700 muster.engine.guard:BLOCKED_MAX_S=0.4"
SHORT_TURN_LEASES = "muster.core.limits:TURN_LEASE_MS=3000 muster.engine.engine:DRAIN_S=3.0"


def set_limits(text: str) -> None:
    for word in text.split():
        place, _, value = word.partition("=")
        module, _, name = place.partition(":")
        usual = getattr(import_module(module), name)
        import_module("muster.main")
        for found in list(sys.modules.values()):
            if found.__name__.partition(".")[0] == "muster" and getattr(found, name, None) == usual:
                setattr(found, name, float(value) if "." in value else int(value))


if __name__ == "__main__":
    set_limits(os.environ["MUSTER_TEST_LIMITS"])
    app.main()
