"""Small file systems of their own, to be filled for real."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1 << 20
SIZE = 4 * MIB
LEFT_BYTES = 256 * 1024


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """4 MiB, mounted at *folder*; the test is skipped where that is not permitted."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, left_bytes: int = LEFT_BYTES) -> Path:
    """By somebody else, up to some blocks."""
    other = disk / "of-somebody-else"
    with other.open("wb", buffering=0) as file:
        status = os.statvfs(disk)
        file.write(bytes(status.f_bavail * status.f_frsize - left_bytes))
    return other
