"""What may stand in a connection, and how its mistakes are told."""

from typing import Any

import pytest
from muster.core.connection import ConnectionRefused, name_of_run, read_connection

COMMAND: dict[str, Any] = {"argv": ["true"]}


def test_a_connection_is_a_command_or_a_blueprint_with_its_input() -> None:
    command = read_connection({"name": "trello", "command": {"argv": ["sync"], "timeout_seconds": 5}, "attempts": 2})
    blueprint, initial_data = command.job()
    assert (command.type, command.schema_name, command.enabled) == ("command", "trello", True)
    assert blueprint == "command"
    assert initial_data["argv"] == ["sync"]
    assert (initial_data["attempts"], initial_data["timeout_seconds"]) == (2, 5)
    assert initial_data["labels"] == {
        "surface": "connections",
        "connection": "trello",
        "type": "command",
        "schema": "trello",
    }
    other = read_connection({"name": "orders", "blueprint": "shop", "initial_data": {"a": 1}, "schema": "sales"})
    assert (other.type, other.schema_name, other.job()) == ("shop", "sales", ("shop", {"a": 1}))


@pytest.mark.parametrize(
    "given",
    [
        {"name": "a", "command": {"argv": ["sync", "--all"], "environment": {"A": "b"}, "labels": {"team": "x"}}},
        {"name": "a", "command": {"script_content": "print()", "runtime": "python:3.11"}, "enabled": False},
        {"name": "a", "blueprint": "shop", "initial_data": {"deep": [{"x": None}]}, "type": "Trello Boards"},
        {"name": "a", "blueprint": "b", "schedule": "0 6 * * MON-FRI", "timezone": "Europe/Berlin", "clients": ["x"]},
        {"name": "a", "blueprint": "b", "every": "15m", "anchor": "2026-01-01T00:05:00Z", "catch_up": 3},
        {"name": "a", "blueprint": "b", "every": "1h", "overlap": "queue", "jitter_seconds": 60},
    ],
)
def test_what_is_shown_of_a_connection_makes_the_same_again(given: dict[str, Any]) -> None:
    connection = read_connection(given)
    assert read_connection(connection.facts()) == connection
    assert read_connection(connection.record()) == connection


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "name: Field required"),
        ({"name": "a"}, "either command or blueprint"),
        ({"name": "a", "command": COMMAND, "blueprint": "b"}, "either command or blueprint"),
        ({"name": "a b", "command": COMMAND}, "name: 'a b' is not a name"),
        ({"name": "../a", "command": COMMAND}, "is not a name"),
        ({"name": "x" * 65, "command": COMMAND}, "is not a name"),
        ({"name": 5, "command": COMMAND}, "name: "),
        ({"name": "a", "command": COMMAND, "what": 1}, "what: "),
        ({"name": "a", "command": {}}, "command: give either argv or script_content"),
        ({"name": "a", "command": {"argv": []}}, "command.argv: "),
        ({"name": "a", "command": {"argv": ["x"], "argz": 1}}, "command: a command has no 'argz'"),
        ({"name": "a", "command": {"argv": ["x"], "attempts": 2}}, "attempts stands beside command"),
        ({"name": "a", "command": "true"}, "command: "),
        ({"name": "a", "command": COMMAND, "initial_data": {"a": 1}}, "initial_data belongs to blueprint"),
        ({"name": "a", "blueprint": "b", "attempts": 2}, "attempts belongs to command"),
        ({"name": "a", "command": COMMAND, "attempts": 0}, "attempts: "),
        ({"name": "a", "command": COMMAND, "attempts": 11}, "attempts: "),
        ({"name": "a", "command": COMMAND, "attempts": True}, "attempts: "),
        ({"name": "a", "command": COMMAND, "enabled": "yes"}, "enabled: "),
        ({"name": "a", "command": COMMAND, "type": ""}, "type: "),
        ({"name": "a", "command": COMMAND, "schema": "a\nb"}, "schema: "),
        ({"name": "a", "command": COMMAND, "schedule": "0 0 30 2 *"}, "'0 0 30 2 *' is not a cron expression"),
        ({"name": "a", "command": COMMAND, "schedule": "0 0 */31 * MON#5"}, "never fires"),
        ({"name": "a", "command": COMMAND, "schedule": "* * * * *", "timezone": "Mars"}, "'Mars' is not a time zone"),
        ({"name": "a", "command": COMMAND, "timezone": "Europe/Berlin"}, "timezone belongs to schedule"),
        (
            {"name": "a", "blueprint": "b", "schedule": "* * * * *", "every": "15m"},
            "give either schedule (cron) or every",
        ),
        ({"name": "a", "blueprint": "b", "every": "-15m"}, "every '-15m': "),
        ({"name": "a", "blueprint": "b", "every": "0s"}, "from 1 second to 366 days"),
        ({"name": "a", "blueprint": "b", "anchor": "2026-01-01T00:00:00Z"}, "anchor belongs to every"),
        ({"name": "a", "blueprint": "b", "every": "1h", "anchor": "2026-01-01T00:00:00"}, "has no time zone"),
        ({"name": "a", "blueprint": "b", "overlap": "queue"}, "overlap belongs to schedule or every"),
        ({"name": "a", "blueprint": "b", "every": "1h", "overlap": "maybe"}, "overlap: "),
        ({"name": "a", "blueprint": "b", "every": "1h", "catch_up": 0}, "catch_up"),
        ({"name": "a", "blueprint": "b", "every": "1h", "catch_up": 1001}, "catch_up"),
        ({"name": "a", "blueprint": "b", "every": "1h", "late_seconds_max": 5}, "late_seconds_max: "),
        ({"name": "a", "blueprint": "b", "every": "1h", "jitter_seconds": -1}, "jitter_seconds: "),
        ({"name": "a", "command": COMMAND, "clients": []}, "clients: "),
        ({"name": "a", "command": COMMAND, "clients": ["a b"]}, "clients.0: 'a b' is not the name of a tenant"),
    ],
)
def test_a_mistake_is_told_with_its_place(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ConnectionRefused) as refused:
        read_connection(given)
    assert why in str(refused.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConnectionRefused) as refused:
        read_connection({"name": "a b", "enabled": 1, "attempts": 0, "command": {"argv": []}})
    assert [problem.pointer for problem in refused.value.problems] == [
        "/name",
        "/enabled",
        "/command/argv",
        "/attempts",
    ]


def test_only_an_enabled_connection_runs_by_itself() -> None:
    scheduled = {"name": "a", "command": COMMAND, "schedule": "0 6 * * *"}
    assert read_connection(scheduled).timing is not None
    assert read_connection({**scheduled, "enabled": False}).timing is None
    assert read_connection({"name": "a", "command": COMMAND}).timing is None


def test_scheduled_runs_are_those_of_the_only_client_or_nobodys() -> None:
    given = {"name": "a", "command": COMMAND}
    assert read_connection(given).scheduled_tenant == "scheduler"
    assert read_connection({**given, "clients": ["acme"]}).scheduled_tenant == "acme"
    assert read_connection({**given, "clients": ["acme", "other"]}).scheduled_tenant == "scheduler"


def test_a_run_is_known_by_its_tags() -> None:
    assert name_of_run(read_connection({"name": "trello", "command": COMMAND}).tags) == "trello"
    assert name_of_run(("connection-batch", "x")) is None
