"""Which runtime a client means. Only configured ones are taken; some of their short names are too."""

import re
from collections.abc import Sequence
from typing import Final

from muster.errors import ErrorCode, MusterError

_VERSIONED: Final = re.compile(r"(?P<language>[a-z]+):(?P<version>[0-9]+(\.[0-9]+)*)")
ANY_NEW_PYTHON: Final = ("python3.11", "python3.12")
"""For scripts that ask for one of these every Python 3 that is configured will do."""


def resolved(name: str | None, runtimes: Sequence[str]) -> str:
    """The one of *runtimes* that *name* means; the first of them where it is None.

    >>> resolved("python3", ("ruby:3.2", "python:3.11"))
    'python:3.11'

    Raises:
        MusterError: INVALID_PARAMETER, naming what there is.
    """
    if name is None:
        return runtimes[0]
    if name in runtimes:
        return name
    for names in (short_names, python_names):
        for runtime in runtimes:
            if name in names(runtime):
                return runtime
    raise MusterError(
        ErrorCode.INVALID_PARAMETER,
        f"runtime={name[:100]!r} is not a runtime of this server.",
        hint=f"It has {', '.join(runtimes)}. Whoever runs it may add one with MUSTER_RUNTIMES.",
        extra={"parameter": "runtime", "allowed": list(runtimes)},
    )


def short_names(runtime: str) -> tuple[str, ...]:
    """`python`, `python3`, `python3.11` for `python:3.11`; none for a name of another form."""
    versioned = _VERSIONED.fullmatch(runtime)
    if versioned is None:
        return ()
    language, version = versioned["language"], versioned["version"]
    return language, language + version.partition(".")[0], language + version


def python_names(runtime: str) -> tuple[str, ...]:
    """Versions that nobody configured, and that a newer or older Python 3 stands in for."""
    return ANY_NEW_PYTHON if runtime.startswith("python:3.") else ()
