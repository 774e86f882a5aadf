"""Which tests run one after the other where several processes share the suite (`-n`).

By path and not by mark: xdist 3.8 writes a mark's group into a test's id, which pytest 9.2 does not let it do, so that
its marks say nothing.
"""

from typing import Final

from xdist.scheduler import LoadScopeScheduling

GROUPS: Final = {
    **dict.fromkeys(("tests/benchmarks/", "tests/chaos/", "tests/system/"), "the engine's systems"),
    **dict.fromkeys(("tests/conformance/", "tests/surface/"), "the surfaces' systems"),
    **dict.fromkeys(("tests/docs/", "tests/e2e/"), "the users' systems"),
    "tests/core/test_lifecycle.py": "the exploration",
    "tests/types/": "the type checkers",
}
"""Tests that run whole systems of processes wait for them most of the time: those of a group do not starve each other,
and three groups and the rest keep two cores busy. The last two share what takes long to find out."""


def group_of(test: str) -> str:
    """Of a test, by its id; one alone is a group of its own."""
    return next((group for start, group in GROUPS.items() if test.startswith(start)), test)


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Large groups first, then test by test."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
