"""Whole systems of real processes, started as a person starts them, and proof that none is left behind."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.machine import Machine, wait_until


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Fails the test if anything it started still runs afterwards."""
    with clean_machine(tmp_path) as machine:
        yield machine


@contextmanager
def clean_machine(folder: Path) -> Iterator[Machine]:
    machine = Machine(folder)
    try:
        yield machine
        wait_until(
            lambda: not machine.processes(), 40
        )  # a worker whose server is gone tries for 25 s to hand in what it has
    finally:
        machine.close()
        for pid in machine.processes():
            os.kill(pid, signal.SIGKILL)
