"""Blueprints tested in milliseconds: a whole engine without processes, on a clock that the test moves."""

from muster.testing.answers import Mock, hangs, later, lost
from muster.testing.crashes import Crashed
from muster.testing.failures import KitError, Stuck
from muster.testing.jobs import TestJob, Waiting
from muster.testing.kit import TestMuster
from muster.testing.recording import Difference, Recording

__all__ = [
    "Crashed", "Difference", "KitError", "Mock", "Recording", "Stuck", "TestJob", "TestMuster", "Waiting",
    "hangs", "later", "lost",
]  # fmt: skip
