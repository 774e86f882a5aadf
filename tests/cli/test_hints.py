"""What a refusal advises is a command that can be typed, and belongs to what was typed."""

import pytest
from muster.cli.app import run
from muster.cli.hints import in_commands


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        ("POST /api/v1/jobs/7/cancel ends it", "muster job cancel 7 ends it"),
        ("GET /api/v1/jobs/7/why says what it waits for", "muster why 7 says what it waits for"),
        ("GET /api/v1/blueprints/hello lists them.", "muster blueprint show hello lists them."),
        ("GET /api/v1/blueprints lists them.", "muster blueprint ls lists them."),
        ('{"new": true} starts it again as a new job', "--new starts it again as a new job"),
        ("The schema of every body is in /openapi.json.", "muster limit set --help"),
        (None, "muster limit set --help"),
    ],
)
def test_a_hint_that_names_a_request_is_said_as_a_command(hint: str | None, said: str) -> None:
    assert in_commands(hint, "limit set ") == said


@pytest.mark.parametrize("option", [["--on-conflict", "refuse"], ["--debounce", "5"]])
def test_an_option_that_would_do_nothing_is_refused(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["job", "start", "hello", *option]) == 2
    assert f"{option[0]} goes with --" in capsys.readouterr().err
