"""For pytest: the fixture `muster`, a fresh `muster.testing.TestMuster` for each test."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from muster.testing import TestMuster


@pytest.fixture
def muster() -> "Iterator[TestMuster]":
    """A server in the test, without a process and without blueprints: `muster.add(orders)`."""
    from muster.testing import TestMuster  # only a test that asks for it pays for the import

    kit = TestMuster()
    yield kit
    kit.close()
