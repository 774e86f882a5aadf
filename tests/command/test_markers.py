"""What a line of stdout may say. The parser never fails, and reads back what was written."""

import string
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster_worker.command.lines import LINE_BYTES_MAX, LineSplitter
from muster_worker.command.markers import Artifact, Marker, Meta, StepComplete, StepError, StepStart, parse
from muster_worker.command.steps import Steps

NOW = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
WORDS = st.text(string.ascii_letters + string.digits + " ._-äß", min_size=1, max_size=20).filter(
    lambda text: text == text.strip() and text
)
PAIRS = st.dictionaries(WORDS, WORDS, max_size=3)
LINES = st.one_of(
    st.text(max_size=60),
    st.builds(
        "{}{}:{}".format,
        st.sampled_from(["", " ", "\t", "x"]),
        st.sampled_from(["STEP_START", "STEP_COMPLETE", "STEP_ERROR", "ARTIFACT", "META", "step_start"]),
        st.text(string.ascii_letters + " []=:", max_size=20) | st.sampled_from(["a", "b", "progress:0.5", "x:y"]),
    ),
)


@pytest.mark.parametrize(
    ("line", "marker"),
    [
        ("STEP_START:build", StepStart("build")),
        (
            "  STEP_START: build it [duration=60] [stop_on_error=true]",
            StepStart("build it", {"duration": "60", "stop_on_error": "true"}),
        ),
        (
            "STEP_START:deploy [eu] [description=To Europe: all of it]",
            StepStart("deploy [eu]", {"description": "To Europe: all of it"}),
        ),
        ("STEP_COMPLETE:build", StepComplete("build")),
        ("STEP_ERROR:no space: /tmp", StepError("no space: /tmp")),
        ("STEP_ERROR:", StepError("")),
        ("ARTIFACT:out/report.pdf:The report: final", Artifact("out/report.pdf", "The report: final")),
        ("ARTIFACT:data.csv", Artifact("data.csv")),
        ("META:rows_inserted:3", Meta("rows_inserted", "3")),
        ('META:progress_counts:{"cards": 3}', Meta("progress_counts", '{"cards": 3}')),
        ("META:note:", Meta("note", "")),
    ],
)
def test_a_marker_is_read_as_it_is_documented(line: str, marker: Marker) -> None:
    assert parse(line) == marker


@pytest.mark.parametrize(
    "line",
    [
        "",
        "done: STEP_START:build",
        "step_start:build",
        "STEP_START",
        "STEP_START:",
        "STEP_START: [duration=60]",
        "STEP_COMPLETE: ",
        "ARTIFACT::description",
        "META:key",
        "META::value",
        "META:" + "x" * 5000 + ":1",
    ],
)
def test_other_lines_are_output_and_no_more(line: str) -> None:
    assert parse(line) is None


@given(st.text(max_size=200))
def test_no_line_breaks_the_parser(line: str) -> None:
    parse(line)
    parse(f"STEP_START:{line}")
    parse(f"META:{line}")


@given(WORDS, PAIRS)
def test_a_step_is_read_back_as_it_was_written(name: str, pairs: dict[str, str]) -> None:
    line = f"STEP_START:{name}" + "".join(f" [{key}={value}]" for key, value in pairs.items())
    assert parse(line) == StepStart(name, pairs)


@given(WORDS, st.text(max_size=50))
def test_a_figure_is_read_back_as_it_was_written(key: str, value: str) -> None:
    assert parse(f"META:{key}:{value}") == Meta(key, value.strip())


@given(st.lists(LINES, max_size=40), st.booleans())
def test_whatever_is_printed_the_steps_make_sense(lines: list[str], succeeded: bool) -> None:
    steps = Steps()
    for number, line in enumerate(lines):
        marker = parse(line)
        if marker is not None:
            change = steps.apply(marker, NOW + timedelta(seconds=number))
            assert change.progress is None or 0 <= change.progress <= 1
            assert [step.status for step in steps.steps].count("running") <= 1
    steps.end(succeeded=succeeded, exit_code=0 if succeeded else 2, now=NOW + timedelta(seconds=len(lines)))
    assert [step.index for step in steps.steps] == list(range(len(steps.steps)))
    for step in steps.steps:
        assert step.status in {"completed", "failed"}
        assert (step.exit_code == 0) == (step.status == "completed")
        assert step.completed_at is not None
        assert step.completed_at >= step.started_at


def told(*lines: str) -> Steps:
    steps = Steps()
    for line in lines:
        marker = parse(line)
        assert marker is not None
        steps.apply(marker, NOW)
    return steps


def test_a_new_step_completes_the_open_one_and_another_name_completes_nothing() -> None:
    steps = told("STEP_START:a", "STEP_START:b", "STEP_COMPLETE:a")
    assert [(step.name, step.status, step.exit_code) for step in steps.steps] == [
        ("a", "completed", 0),
        ("b", "running", None),
    ]


def test_a_step_has_what_its_groups_say() -> None:
    view = told("STEP_START:a [duration=60] [stop_on_error=true] [description=First] [owner=ann]").steps[0].view()
    assert view["estimated_duration"] == 60.0
    assert view["stop_on_error"] is True
    assert view["description"] == "First"
    assert view["metadata"] == {
        "duration": "60",
        "stop_on_error": "true",
        "description": "First",
        "owner": "ann",
    }
    assert view["started_at"] == "2024-01-15T10:30:00.000Z"


def test_an_error_fails_the_open_step_and_stops_the_command_only_where_the_step_says_so() -> None:
    patient, strict = Steps(), Steps()
    patient.apply(StepStart("a"), NOW)
    strict.apply(StepStart("a", {"stop_on_error": "true"}), NOW)
    assert patient.apply(StepError("disk full"), NOW).stop is None
    assert strict.apply(StepError("disk full"), NOW).stop == "step 'a' failed: disk full"
    assert (patient.steps[0].status, patient.steps[0].error_message) == ("failed", "disk full")
    assert patient.apply(StepError("again"), NOW).steps == []


def test_figures_belong_to_the_open_step_and_counts_to_the_command_as_well() -> None:
    steps = told("META:region:eu", "STEP_START:a", "META:table:users", "META:rows_inserted:3", "META:attempts:many")
    assert steps.meta == {"region": "eu", "rows_inserted": 3, "attempts": "many"}
    assert steps.steps[0].metadata == {"table": "users", "rows_inserted": "3", "attempts": "many"}
    assert told('META:progress_counts:{"cards": 3}').meta == {"progress_counts": {"cards": 3}}


@pytest.mark.parametrize("value", ["9" * 30, "1.5", "[" * 100, '{"a": [1]}', "[1]"])
def test_a_count_that_is_none_stays_text(value: str) -> None:
    for key in ("rows_inserted", "progress_counts"):
        assert told(f"META:{key}:{value}").meta == {key: value}


def test_a_file_belongs_to_the_step_that_was_open() -> None:
    steps = told("ARTIFACT:a.csv:All", "STEP_START:a", "ARTIFACT:b.csv")
    assert [(file.path, file.description, file.step) for file in steps.files] == [
        ("a.csv", "All", None),
        ("b.csv", "", 0),
    ]


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"\n", b"\r\n", "é".encode()]), max_size=30))
def test_lines_are_the_same_however_they_come_in_chunks(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    splitter = LineSplitter()
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    lines += splitter.end()
    expected = [line.removesuffix(b"\r").decode("utf-8", "replace") for line in whole.split(b"\n")]
    last_is_empty = whole.endswith(b"\n") or not whole
    assert lines == (expected[:-1] if last_is_empty else expected)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b""])
@pytest.mark.parametrize("extra", [-1, 0, 1, 2, LINE_BYTES_MAX])
@pytest.mark.parametrize("chunk", [1000, LINE_BYTES_MAX, 10 * LINE_BYTES_MAX])
def test_a_long_line_comes_in_pieces_that_cut_no_character(ending: bytes, extra: int, chunk: int) -> None:
    line = ("x" * ((LINE_BYTES_MAX + extra) % 3) + "€" * ((LINE_BYTES_MAX + extra) // 3)).encode()
    whole = line + ending
    splitter = LineSplitter()
    pieces = [piece for at in range(0, len(whole), chunk) for piece in splitter.feed(whole[at : at + chunk])]
    pieces += splitter.end()
    assert "".join(pieces) == line.decode()
    assert all(len(piece.encode()) <= LINE_BYTES_MAX for piece in pieces)
    assert len(pieces) == (1 if extra <= 0 else 2 if extra < LINE_BYTES_MAX else 3)
