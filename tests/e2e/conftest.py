"""Whole systems of real processes, started as a person starts them, and proof that none is left behind."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.machine import Machine, wait_until


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Fails the test if anything it started still runs afterwards."""
    machine = Machine(tmp_path)
    yield machine
    try:
        wait_until(lambda: not machine.processes(), 5)
    finally:
        for pid in machine.processes():
            os.kill(pid, signal.SIGKILL)
