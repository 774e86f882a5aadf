"""Find the worker that `muster worker run MODULE` names."""

import importlib
import os
import sys

from muster_worker.worker import Worker


def load_worker(target: str) -> Worker:
    """`"module:name"`, or `"module"` when it holds exactly one worker.

    The working directory is importable, as with `python -m`. Raises ValueError saying what was looked for; an
    error inside the module comes out as it is.
    """
    module_name, _, name = target.partition(":")
    module = _module(module_name, target)
    if name:
        found = getattr(module, name, None)
        if isinstance(found, Worker):
            return found
        what = "has no such name" if found is None else f"is {type(found).__name__}"
        raise ValueError(f"{target!r} is not a worker: {name!r} {what} in module {module_name!r}")
    workers = {key: value for key, value in vars(module).items() if isinstance(value, Worker)}
    if len({id(worker) for worker in workers.values()}) == 1:
        return next(iter(workers.values()))
    if not workers:
        raise ValueError(f"module {module_name!r} holds no worker; make one with: worker = Worker()")
    raise ValueError(f"module {module_name!r} holds several workers; name one: {module_name}:{min(workers)}")


def _module(name: str, target: str) -> object:
    if not name or name.endswith(".py") or "/" in name:
        raise ValueError(f"{target!r} is not a module; write it like an import, for example: orders.tasks:worker")
    if os.getcwd() not in sys.path:  # noqa: PTH109 - sys.path holds text
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise ValueError(f"there is no module {missing!r} here ({os.getcwd()}) or installed") from error  # noqa: PTH109
        raise
