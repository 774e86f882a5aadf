"""The version of the installed distribution."""

from importlib.metadata import PackageNotFoundError, version


def product_version() -> str:
    try:
        return version("muster-fleet")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0.0.0"
