"""The file of connections as such; what may stand in one is in tests/core/test_connection.py."""

from pathlib import Path

import pytest
from muster.blueprint.builtin import BUILTIN
from muster.blueprint.registry import Registry
from muster.engine.connection_file import ConnectionsRefused, load_connections

ROOT = Path(__file__).parents[2]
ONE = '[[connections]]\nname = "{}"\ncommand = {{ argv = ["true"] }}\n'


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    for blueprint in BUILTIN:
        registry.add(blueprint)
    return registry


def test_without_a_file_there_are_none_and_an_empty_one_has_none(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "empty.toml").write_text("")
    assert load_connections(None, registry) == ()
    assert load_connections(tmp_path / "empty.toml", registry) == ()


def test_the_order_of_the_file_is_kept(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "c.toml").write_text("".join(ONE.format(name) for name in ["zebra", "ant", "mole"]))
    assert [one.name for one in load_connections(tmp_path / "c.toml", registry)] == ["zebra", "ant", "mole"]


def test_the_file_of_the_conformance_server_is_as_its_suite_expects(registry: Registry) -> None:
    loaded = load_connections(ROOT / "blueprints" / "conformance_connections.toml", registry)
    assert [(one.name, one.enabled, one.attempts) for one in loaded] == [
        ("trello", True, 1),
        ("slow_source", True, 1),
        ("broken_source", False, 1),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "cannot be read"),
        ("[[", "is not TOML"),
        ("name = 1", "'name' is unknown; each connection begins with [[connections]]"),
        ("[connections.a]\n", "begins with [[connections]], in two brackets"),
        ("connections = [1]", "connection no. 1: "),
        (ONE.format("a") * 3, "connection 'a' is there 3 times"),
        (
            '[[connections]]\nname = "a"\nblueprint = "command"\ninitial_data = { at = 2026-01-01 }\n',
            "connection 'a': initial_data.at",
        ),
        ("".join(ONE.format(f"c{number}") for number in range(1_001)), "1001 connections are more than 1000"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, registry: Registry, text: str | None, why: str) -> None:
    file = tmp_path / "c.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConnectionsRefused) as refused:
        load_connections(file, registry)
    assert any(why in problem for problem in refused.value.problems), refused.value.problems
