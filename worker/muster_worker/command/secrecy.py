"""What a command cannot read of the worker that runs it."""

import ctypes
import logging
import os
from collections.abc import Callable

PR_SET_DUMPABLE = 4
_prctl: Callable[..., int] = getattr(ctypes.CDLL(None, use_errno=True), "prctl", lambda *_: -1)
_log = logging.getLogger("muster_worker.command")


def close_to_commands() -> None:
    """Close this process's environment and memory in /proc to others of its user: they hold the worker's token.

    Root reads them all the same. Linux only.
    """
    if _prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        _log.warning("commands may read this worker's environment: prctl: %s", os.strerror(ctypes.get_errno()))
