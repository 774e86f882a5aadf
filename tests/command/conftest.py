from collections.abc import Iterator
from pathlib import Path

import pytest
from muster_worker.command.settings import CommandSettings

from tests.command.running import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A worker that may run anything. Whatever the test does, no process and no directory may be left by it."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    bench = Bench(CommandSettings.development(folder=folder, grace_seconds=0.3))
    yield bench
    assert bench.left() == []
    assert bench.folders() == []
