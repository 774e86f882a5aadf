"""A job as a file, and one of its states run where the file is."""

import io
import json
from pathlib import Path

import pytest
from muster.cli.app import run

from tests.operations import flows
from tests.operations.conftest import Site

SOURCE = str(Path(flows.__file__))


async def case_of(site: Site, tmp_path: Path, size: int) -> Path:
    job = await site.client.start("packer", {"size": size})
    await site.client.wait(job, timeout_s=20)
    path = tmp_path / "case.json"
    path.write_text(json.dumps(await site.client.case(job)))
    return path


async def test_a_case_file_has_what_each_state_was_entered_with(site: Site, tmp_path: Path) -> None:
    told = json.loads((await case_of(site, tmp_path, 3)).read_text())
    assert told["format"] == "muster-case/1"
    assert [(one["state"], one["argument"]) for one in told["entered"]] == [("prepare", None), ("pack", {"size": 3})]
    assert told["entered"][1]["data"] == {"tries": 1}
    assert told["job"]["error_message"] == "box 3 is too small"
    assert [event["event_type"] for event in told["history"]][-1] == "job_failed"
    assert "approval_token" not in json.dumps(told) or "apr_" not in json.dumps(told)


async def test_a_state_runs_here_on_its_recorded_argument_and_decides_as_then(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = await case_of(site, tmp_path, 3)
    assert debug(path) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["argument"]) == ("pack", {"size": 3})
    assert told["decided"]["decision"] == "fail"
    assert told["decided"]["message"] == "box 3 is too small"
    assert told["recorded"] == {"event": "job_failed", "state": "failed", "error": "box 3 is too small"}
    assert debug(path, "--state", "prepare") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["decided"]["decision"], told["decided"]["target"]) == ("go", "pack")
    assert told["recorded"]["state"] == "pack"


async def test_an_edited_argument_shows_what_would_be_decided(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = await case_of(site, tmp_path, 3)
    assert debug(path, "--argument", '{"size": 12}') == 0
    told = json.loads(capsys.readouterr().out)
    assert told["decided"]["decision"] == "done"
    assert debug(path, "--argument", '{"size": -2}') != 0
    assert "ValueError: a box of -2" in json.loads(capsys.readouterr().out)["decided"]["raises"]


async def test_a_file_that_is_no_case_is_refused_with_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "case.json"
    for text in ("{", "[]", '{"format": "other"}'):
        path.write_text(text)
        assert debug(path) == 2
        assert "try: muster job export JOB > case.json" in capsys.readouterr().err


def debug(path: Path, *more: str) -> int:
    """In a thread of its own: the command runs an event loop."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as threads:
        return threads.submit(run, ["job", "debug", str(path), "--blueprints", SOURCE, "-o", "json", *more]).result()


async def test_the_debugger_stops_in_the_state_function_and_nowhere_before(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await case_of(site, tmp_path, 3)
    monkeypatch.setattr("sys.stdin", io.StringIO("p box\nc\n"))
    debug(path, "--breakpoint")
    said = capsys.readouterr().out
    assert "flows.py" in said.splitlines()[0]
    assert "case_file.py" not in said
