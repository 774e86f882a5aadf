"""Figures of this machine and this process."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

_STARTED: Final = time.monotonic()
psutil.cpu_percent(None)  # the first figure is that since here; without it, it would be 0


@dataclass(frozen=True, slots=True)
class Machine:
    """Percentages from 0 to 100; `open_connections` are those of this process."""

    cpu_percent: float
    memory_percent: float
    disk_usage_percent: float
    load_average: tuple[float, float, float]
    open_connections: int


def uptime_s() -> int:
    return int(time.monotonic() - _STARTED)


def look_at(folder: Path) -> Machine:
    """The figures now; the disk is that of *folder*. Reads many small files: call it in a thread."""
    one, five, fifteen = psutil.getloadavg()
    return Machine(
        cpu_percent=psutil.cpu_percent(None),
        memory_percent=psutil.virtual_memory().percent,
        disk_usage_percent=psutil.disk_usage(str(_existing(folder))).percent,
        load_average=(round(one, 2), round(five, 2), round(fifteen, 2)),
        open_connections=_connections(),
    )


def can_be_written(folder: Path) -> bool:
    """Whether files can be kept there; the folder itself is made when the first one comes."""
    there = _existing(folder)
    return there.is_dir() and os.access(there, os.R_OK | os.W_OK | os.X_OK)


def _connections() -> int:
    try:
        found = psutil.Process().net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return 0  # some systems tell it to nobody but root
    return sum(connection.status == psutil.CONN_ESTABLISHED for connection in found)


def _existing(folder: Path) -> Path:
    """The folder, or what is to hold it."""
    there = folder.resolve()
    while not there.exists() and there != there.parent:
        there = there.parent
    return there
