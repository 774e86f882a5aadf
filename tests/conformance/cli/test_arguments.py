"""How arguments become words. No server."""

from typing import Any

import pytest
from muster.surfaces.cli.arguments import ArgumentsRefused, command_line, file_ids, given_arguments
from muster.surfaces.cli.definition import Argument, Command

FILE = "f" * 32


def words(command: Command, args: dict[str, Any], **files: str) -> tuple[str, ...]:
    return command_line(command, given_arguments(command, args), files).argv


def refusals(command: Command, args: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ArgumentsRefused) as refused:
        given_arguments(command, args)
    return dict(refused.value.problems)


OPEN = Command(argv=("x",), more_arguments=True)
PLOT = Command(
    argv=("plot", "--in={input}", "{args}", "end"),
    args=(
        Argument(name="input", required=True),
        Argument(name="size", positional=True, type="int", minimum=1),
        Argument(name="names", nargs="+", flags=("-n", "--name")),
        Argument(name="bbox", nargs=4, type="float"),
        Argument(name="color_map", choices=("grey", "red"), default="grey"),
        Argument(name="dry_run", type="bool"),
    ),
)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"a_b": "c"}, ("--a-b", "c")),
        ({"n": 3, "f": 0.5}, ("--n", "3", "--f", "0.5")),
        ({"yes": True, "no": False, "nothing": None}, ("--yes",)),
        ({"one": ["a", "b"]}, ("--one", "a", "--one", "b")),
        ({"_positional": ["a", 2], "flag": True}, ("a", "2", "--flag")),
        ({"_positional": "alone"}, ("alone",)),
    ],
)
def test_arguments_become_flags(args: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert words(OPEN, args) == ("x", *expected)


def test_a_template_places_arguments_and_the_others_follow_as_they_are_declared() -> None:
    line = words(PLOT, {"dry_run": True, "names": ["a", "b"], "size": 2, "input": "i", "bbox": [1, 2, 3.5, -4]})
    assert line == (
        *("plot", "--in=i", "2", "--name", "a", "b", "--bbox", "1", "2", "3.5", "-4"),
        *("--color-map", "grey", "--dry-run", "end"),
    )


@pytest.mark.parametrize("text", ["/etc/passwd", "../x", "a/../../x", ".."])
def test_an_argument_that_is_a_file_does_not_lead_out_of_the_jobs_directory(text: str) -> None:
    command = Command(
        argv=("x",),
        args=(Argument(name="many", nargs="*", file=True), Argument(name="one", positional=True, file=True)),
    )
    assert words(command, {"one": f"file_id:{FILE}", "many": ["a/b", "..c"]}, **{FILE: "up.csv"}) == (
        *("x", "up.csv", "--many", "a/b", "..c"),
    )
    assert refusals(command, {"_positional": [text]}).keys() == {"one"}
    assert refusals(command, {"many": ["a", text]}).keys() == {"many"}


def test_positional_arguments_may_come_without_their_names() -> None:
    assert words(PLOT, {"input": "i", "_positional": [7]})[2] == "7"


def test_everything_that_is_wrong_is_told_at_once() -> None:
    found = refusals(
        PLOT, {"size": 0, "names": "a\0", "bbox": [1, 2], "color_map": "blue", "dry_run": "yes", "colour": "red"}
    )
    assert found == {
        "input": "is required",
        "size": "must be at least 1",
        "names": "must not hold a NUL character",
        "bbox": "takes 4 values, not 2",
        "color_map": "must be one of grey, red, not 'blue'",
        "dry_run": "must be true or false, not 'yes'",
        "colour": "is no argument of this command; it takes input, size, names, bbox, color_map, dry_run",
    }


@pytest.mark.parametrize(("value", "text"), [("3", "3"), (3, "3"), ("-2", "-2")])
def test_numbers_may_be_texts(value: object, text: str) -> None:
    assert words(Command(argv=("x",), args=(Argument(name="n", type="int"),)), {"n": value}) == ("x", "--n", text)


@pytest.mark.parametrize("value", ["1_0", "0x1", "1.0", 1.5, "", True, "nan", "\uff19"])
def test_what_is_no_whole_number_is_refused(value: object) -> None:
    assert refusals(Command(argv=("x",), args=(Argument(name="n", type="int", required=True),)), {"n": value})


def test_a_flag_that_is_no_flag_is_refused() -> None:
    assert refusals(OPEN, {"-rf": "x"})
    assert refusals(OPEN, {"a b": "x"})


def test_uploaded_files_stand_where_their_ids_stood() -> None:
    given = given_arguments(OPEN, {"a": f"file_id:{FILE}", "b": ["x", f"file_id:{FILE}", "file_id:2"]})
    assert file_ids(given) == (FILE, "2")
    line = command_line(OPEN, given, {FILE: "in.csv", "2": "./-x"})
    assert line.argv == ("x", "--a", "in.csv", "--b", "x", "--b", "in.csv", "--b", "./-x")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"output": "a.csv"}, ("a.csv",)),
        ({"output": ["a.csv", "b/c.csv"], "to_video": "v.mp4"}, ("a.csv", "b/c.csv", "v.mp4")),
        ({"output_dir": "frames"}, ("frames/",)),
        ({"output": "-"}, ()),
        ({"output": "s3://bucket/key"}, ()),
        ({"path": f"file_id:{FILE}"}, ()),
        ({"other": "a.csv"}, ()),
    ],
)
def test_arguments_that_name_outputs_say_what_is_kept(args: dict[str, Any], expected: tuple[str, ...]) -> None:
    given = given_arguments(OPEN, args)
    assert command_line(OPEN, given, {FILE: "in"}).collect == expected


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x"])
def test_an_output_outside_of_the_jobs_directory_is_refused(path: str) -> None:
    assert "output_dir" in refusals(OPEN, {"output_dir": path})


def test_braces_that_are_doubled_are_meant() -> None:
    command = Command(argv=("sh", "-c", "echo ${{1}}", "{a}"), args=(Argument(name="a", required=True),))
    assert words(command, {"a": "b"}) == ("sh", "-c", "echo ${1}", "b")


PLACED = Command(
    argv=("x", "{first}", "--as={second}"),
    args=(
        Argument(name="first"),
        Argument(name="second"),
        Argument(name="third", positional=True),
        Argument(name="fourth", nargs="+"),
        Argument(name="fifth", positional=True, choices=("-a", "-b")),
    ),
    more_arguments=True,
)


@pytest.mark.parametrize("text", ["-o", "--upload-pack=touch x", "--", "-1x", "-e1"])
@pytest.mark.parametrize("name", ["first", "third", "fourth", "_positional"])
def test_what_would_be_taken_for_an_option_is_refused(name: str, text: str) -> None:
    value = [1, 2, text] if name in {"fourth", "_positional"} else text
    given = {"first": "a", "third": "b", "fifth": "-a", name: value}
    assert set(refusals(PLACED, given)) == {name}
    assert "-" in refusals(PLACED, given)[name]


def test_a_single_dash_numbers_and_what_was_declared_may_begin_with_a_dash() -> None:
    line = words(PLACED, {"first": "-", "second": "-s", "third": "-1.5e3", "fourth": ["-2", -3], "fifth": "-b"})
    assert line == ("x", "-", "--as=-s", "-1.5e3", "-b", "--fourth", "-2", "-3")


def test_a_value_of_one_flag_that_begins_with_a_dash_is_one_word_with_it() -> None:
    assert words(OPEN, {"to": "--force", "n": ["-x", "y"]}) == ("x", "--to=--force", "--n=-x", "--n", "y")
    short = Command(argv=("x",), args=(Argument(name="to", flags=("--to", "-t")),))
    assert words(short, {"to": "-x"}) == ("x", "-t-x")
    assert words(OPEN, {"to": "-", "by": "-5"}) == ("x", "--to", "-", "--by", "-5")
