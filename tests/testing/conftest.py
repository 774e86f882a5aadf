from muster.pytest_plugin import muster

from tests.support.reasons import reasons_are_true

__all__ = ["muster", "reasons_are_true"]
