"""What may be said of a task beside its name, types, timeout and retries."""

from muster_worker.needs import Where
from muster_worker.time_limits import Limits


class TaskOptions(Limits, Where, total=False):
    """Limits of its time, and which workers may do it."""
