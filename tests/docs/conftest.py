"""Somebody who follows the documents, in an empty folder."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import Reader
from tests.e2e.conftest import clean_machine


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Fails the test if anything that was started still runs afterwards."""
    with clean_machine(tmp_path) as machine:
        yield Reader(machine)
        for process in machine.started:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
