from muster.pytest_plugin import muster

__all__ = ["muster"]
