"""Reads the server's file of connections. All its mistakes are told at once."""

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from muster.blueprint.registry import Registry
from muster.core.connection import Connection, ConnectionRefused, read_connection
from muster.core.limits import CONNECTIONS_MAX
from muster.engine.connections import blueprint_problem

TABLE: Final = "connections"


class ConnectionsRefused(Exception):
    """The file cannot be used. `problems` holds one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def load_connections(path: Path | None, blueprints: Registry) -> tuple[Connection, ...]:
    """The file's connections in their order; none without a file.

    Raises:
        ConnectionsRefused: with every problem of every connection.
    """
    if path is None:
        return ()
    problems: list[str] = []
    loaded: list[Connection] = []
    for number, given in enumerate(_tables(path), 1):
        where = f"{path}: connection {_called(given, number)}: "
        try:
            connection = read_connection(given)
        except ConnectionRefused as refused:
            problems += [f"{where}{problem}" for problem in refused.problems]
            continue
        loaded.append(connection)
        if problem := blueprint_problem(connection, blueprints):
            problems.append(f"{where}{problem}")
    problems += [f"{path}: {text}" for text in _together(loaded)]
    if problems:
        raise ConnectionsRefused(problems)
    return tuple(loaded)


def with_planned(loaded: tuple[Connection, ...], blueprints: Registry) -> tuple[Connection, ...]:
    """Those of the file, and one for each blueprint that has a schedule of its own.

    Raises:
        ConnectionsRefused: a blueprint does not take the input that its schedule gives, or the file has its name.
    """
    problems: list[str] = []
    planned: list[Connection] = []
    names = {one.name for one in loaded}
    for blueprint in blueprints.all():
        if blueprint.schedule is None:
            continue
        where = f"schedule of blueprint {blueprint.name!r}: "
        try:
            connection = blueprint.schedule.connection(blueprint.name)
        except ConnectionRefused as refused:
            problems += [f"{where}{problem}" for problem in refused.problems]
            continue
        planned.append(connection)
        if problem := blueprint_problem(connection, blueprints):
            problems.append(f"{where}{problem}")
        if connection.name in names:
            problems.append(f"{where}the file of connections has that name; give one of them another")
    if problems:
        raise ConnectionsRefused(problems)
    return (*loaded, *planned)


def _tables(path: Path) -> Sequence[object]:
    try:
        given: Mapping[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConnectionsRefused([f"{path} (MUSTER_CONNECTIONS_FILE) cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConnectionsRefused([f"{path} is not TOML: {error}"]) from error
    tables = given.get(TABLE, [])
    others = [
        f"{path}: {name!r} is unknown; each connection begins with [[{TABLE}]]" for name in given.keys() - {TABLE}
    ]
    if others or not isinstance(tables, list):
        raise ConnectionsRefused(
            sorted(others) or [f"{path}: each connection begins with [[{TABLE}]], in two brackets"]
        )
    return tables


def _called(given: object, number: int) -> str:
    name = given.get("name") if isinstance(given, dict) else None
    return repr(name) if isinstance(name, str) else f"no. {number}"


def _together(loaded: Sequence[Connection]) -> Iterator[str]:
    for name, count in Counter(one.name for one in loaded).items():
        if count > 1:
            yield f"connection {name!r} is there {count} times; a name stands for one"
    if len(loaded) > CONNECTIONS_MAX:
        yield f"{len(loaded)} connections are more than {CONNECTIONS_MAX}"
