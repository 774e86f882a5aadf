"""The time by the engine's clock. Deployments take this machine's; tests of blueprints move their own."""

import time

from muster.core.ids import UnixMs


def unix_ms() -> UnixMs:
    """Milliseconds since 1970."""
    return UnixMs(int(time.time() * 1000))
