"""Reads the servers' file of limits, and reads it again when it has changed. All its mistakes are told at once."""

import asyncio
import logging
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from muster.core.flow import ANY, Limit, LimitRefused, Scope, limit_of
from muster.core.limits import LIMIT_NAME_CHARACTERS_MAX, LIMITS_MAX
from muster.engine.limits import Limits
from muster.errors import MusterError
from muster.store.base import StoreFull, StoreUnavailable

log = logging.getLogger("muster.limits")

LOOK_EVERY_S: Final = 2.0


class LimitsRefused(Exception):
    """The file cannot be used. `problems` holds one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def read_limits(path: Path) -> tuple[Limit, ...]:
    """The file's limits in their order.

    Raises:
        LimitsRefused: with every problem of every limit, each with the file and the table where it is.
    """
    problems: list[str] = []
    limits: list[Limit] = []
    for keys, given in _tables(_content(path), problems, path):
        where = f"{path}: [{'.'.join(map(_spelled, keys))}]"
        scope, tenant, name = keys[0], "", keys[-1]
        if scope == Scope.KEY:
            tenant = keys[1]
        if scope == Scope.GLOBAL:
            name = ANY
        try:
            limits.append(limit_of(scope, name, given, tenant))
        except LimitRefused as error:
            problems.append(f"{where}: {error}")
    if len(limits) > LIMITS_MAX:
        problems.append(f"{path}: {len(limits)} limits are more than {LIMITS_MAX}")
    if problems:
        raise LimitsRefused(problems)
    return tuple(limits)


def _content(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LimitsRefused([f"{path} (MUSTER_LIMITS_FILE) cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LimitsRefused([f"{path} is not TOML: {error}"]) from error


def _tables(
    content: Mapping[str, Any], problems: list[str], path: Path
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Each limit's table with the keys that lead to it: `global`, scope and name, or `key`, tenant and name."""
    for scope, below in content.items():
        depth = {Scope.GLOBAL: 1, Scope.KEY: 3}.get(scope, 2)  # type: ignore[call-overload]  # it may be any word
        if scope not in set(Scope):
            problems.append(f"{path}: {_spelled(scope)} is no scope; there are {', '.join(Scope)}")
            continue
        for keys, table in _below((scope,), below, depth):
            if not isinstance(table, dict):
                problems.append(f"{path}: {'.'.join(map(_spelled, keys))} is {table!r}; {_HOW[depth]}"[:300])
            elif depth == 3 and not _is_tenant(keys[1]):
                problems.append(f"{path}: {keys[1]!r} cannot be a tenant; {_HOW[depth]}"[:300])
            else:
                yield keys, table


_HOW: Final = {
    1: "write [global], and max or rate below it",
    2: "write [<scope>.<name>], and max or rate below it",
    3: "write [key.<tenant>.<key>], and max or rate below it",
}


def _below(keys: tuple[str, ...], value: Any, depth: int) -> Iterator[tuple[tuple[str, ...], Any]]:
    if len(keys) == depth or not isinstance(value, dict):
        yield keys, value
        return
    for key, inner in value.items():
        yield from _below((*keys, key), inner, depth)


def _is_tenant(name: str) -> bool:
    return 1 <= len(name) <= LIMIT_NAME_CHARACTERS_MAX and name.isprintable() and "|" not in name


def _spelled(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() and key.isascii() else f'"{key}"'


class LimitFile:
    """The limits of a file as they are kept for all servers: from the start, and again after each change."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._seen: object = None

    async def apply(self) -> None:
        """Read it and set what it says; what it says no longer is taken away.

        Raises:
            LimitsRefused: it cannot be used, or there are too many limits; nothing of it was set by then, or not all.
        """
        self._seen = self._look()
        try:
            await self._limits.apply_file(read_limits(self._path))
        except MusterError as error:
            raise LimitsRefused([f"{self._path}: {error}"]) from error

    async def watch(self) -> None:
        """Apply it when it has changed, until cancelled. What cannot be used changes nothing, and is logged."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._look() == self._seen:
                continue
            try:
                await self.apply()
            except LimitsRefused as error:
                log.error("limits_not_reloaded", extra={"problems": str(error)})  # noqa: TRY400  the text is all
            except (StoreUnavailable, StoreFull) as error:
                self._seen = None  # once more
                log.warning("limits_put_off", extra={"error": str(error)})
            else:
                log.info("limits_reloaded", extra={"file": str(self._path)})

    def _look(self) -> object:
        try:
            stat = self._path.stat()
        except OSError:
            return "gone"
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
