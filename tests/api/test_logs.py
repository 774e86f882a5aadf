"""What is logged, and what never is."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from muster.observe.logs import HIDDEN, configure_logs

from tests.api.conftest import ALICE, Serve


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def lines() -> io.StringIO:
    out = io.StringIO()
    configure_logs(level="debug", log_format="json", stream=out)
    return out


def read(lines: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_credentials_are_hidden_by_their_name(lines: io.StringIO) -> None:
    structlog.get_logger().info("e", token="canary", nested={"X-Client-Token": "canary", "n": 1}, job="j")
    logging.getLogger("x").warning("f", extra={"api_key": "canary"})
    assert "canary" not in lines.getvalue()
    first, second = read(lines)
    assert (first["token"], first["nested"], first["job"]) == (HIDDEN, {"X-Client-Token": HIDDEN, "n": 1}, "j")
    assert (second["event"], second["api_key"]) == ("f", HIDDEN)


def test_no_value_can_forge_a_line_or_fill_the_disk(lines: io.StringIO) -> None:
    structlog.get_logger().info("e", name="a\r\n{}\x1b[31m\u2028\u202e", long="x" * 10_000)
    logging.getLogger("x").warning("a\nb")
    first, second = read(lines)
    assert str(first["name"]).isprintable()
    assert len(str(first["long"])) < 3_000
    assert second["event"] == "a\\nb"


def test_an_exception_is_told_with_its_traceback(lines: io.StringIO) -> None:
    try:
        int("boom")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "ValueError: invalid literal" in str(read(lines)[0]["exception"])


def test_a_traceback_for_people_shows_no_local_variables() -> None:
    out = io.StringIO()
    configure_logs(log_format="console", stream=out)
    canary = "canary"
    try:
        int(canary[:0])
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "ValueError" in out.getvalue()
    assert "'canary'" not in out.getvalue()


async def test_no_token_of_a_request_is_logged(serve: Serve, lines: io.StringIO) -> None:
    http = await serve(log_level="debug")
    await http.get("/api/v1/jobs?cursor=1", headers=ALICE)
    await http.get("/api/v1/jobs", headers={"Authorization": "Bearer canary-1"})
    await http.post("/_public/webhooks/approval/x?token=canary-2", json={"decision": "approved"})
    text = lines.getvalue()
    assert "canary" not in text
    assert "alice-token" not in text
