"""Which release this is."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final


def _installed() -> str:
    try:
        return version("muster-fleet")
    except PackageNotFoundError:  # run from a folder of sources
        return "0+unknown"


VERSION: Final = _installed()
