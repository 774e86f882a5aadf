"""The file of stages and commands: everything that is wrong in it is told at once, with its place."""

from pathlib import Path

import pytest
from muster.settings import Settings, SettingsRefused
from muster.surfaces.cli.definition import Catalog
from muster.surfaces.cli.demo import DEMO
from muster.surfaces.cli.loading import load_catalog, read_catalog

from tests.system.processes import Cluster

WRONG = """\
[stages.a.one]
argv = ["{name}", "{missing}", "{flag}", "{loose}", "{args}", "{args}"]
[[stages.a.one.args]]
name = "name"
required = true
[[stages.a.one.args]]
name = "flag"
type = "bool"
[[stages.a.one.args]]
name = "loose"
[[stages.a.one.args]]
name = "loose"
[[stages.a.one.args]]
name = "count"
type = "int"
default = "many"
[[stages.a.one.args]]
name = "at"
positional = true
flags = ["--at"]

[[examples]]
name = "No such command"
request = { stage = "a", command = "two" }

[[examples]]
name = "No such argument"
request = { stage = "a", command = "one", args = { nam = "x" } }
"""
SHAPELESS = """\
extra = 1
[stages.a.one]
argv = []
[stages.a.two]
argv = ["x"]
timeout_seconds = -1
[[stages.a.two.args]]
name = "1"
type = "date"
[[examples]]
request = { stage = "a", command = "two", mode = "later" }
"""


def problems_of(folder: Path, text: str) -> list[str]:
    file = folder / "cli.toml"
    file.write_text(text)
    with pytest.raises(SettingsRefused) as refused:
        read_catalog(file)
    assert all(problem.startswith(f"{file}: ") for problem in refused.value.problems)
    return [problem.removeprefix(f"{file}: ") for problem in refused.value.problems]


def test_everything_that_makes_no_sense_is_told_with_its_place(tmp_path: Path) -> None:
    assert problems_of(tmp_path, WRONG) == [
        "stages.a.one.args[4]: there is another argument 'loose'.",
        "stages.a.one.args[5]: its default must be a whole number, not 'many'.",
        "stages.a.one.args[6]: a positional argument has no flags.",
        "stages.a.one.argv: the program cannot be an argument.",
        "stages.a.one.argv: {args} stands there twice.",
        "stages.a.one.argv: {flag} must be an argument with one value.",
        "stages.a.one.argv: {loose} must be required or have a default, as the word would be empty without it.",
        "stages.a.one.argv: {missing} is no argument; for braces that are meant write {{missing}}.",
        "examples[1].request: there is no command 'two' of a stage 'a'.",
        "examples[2].request.args.name: is required.",
        "examples[2].request.args.nam: is no argument of this command; it takes name, flag, loose, loose, count, at.",
        "examples[2].request.args.count: must be a whole number, not 'many'.",
    ]


def test_everything_of_the_wrong_shape_is_told_with_its_place(tmp_path: Path) -> None:
    found = problems_of(tmp_path, SHAPELESS)
    for place in (
        "stages.a.one.argv: ",
        "stages.a.two.timeout_seconds: ",
        "stages.a.two.args[1].name: ",
        "stages.a.two.args[1].type: ",
        "examples[1].name: ",
        "examples[1].request.mode: ",
        "extra: ",
    ):
        assert any(problem.startswith(place) for problem in found), (place, found)


@pytest.mark.parametrize(("text", "complaint"), [("[a", "is not TOML"), ("\udcff", "not UTF-8")])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "cli.toml"
    file.write_text(text, errors="surrogateescape")
    with pytest.raises(SettingsRefused, match=complaint):
        read_catalog(file)
    with pytest.raises(SettingsRefused, match="cannot be read: No such file"):
        read_catalog(tmp_path / "none.toml")


def test_without_a_file_development_has_the_demo_and_production_nothing() -> None:
    assert load_catalog(Settings()) == DEMO
    assert load_catalog(Settings(mode="production")) == Catalog()


def test_the_demo_would_pass_as_a_file() -> None:
    assert list(DEMO.stages["demo"]) == ["echo", "fail", "copy", "tick"]
    assert Catalog.model_validate(DEMO.model_dump()) == DEMO


def test_a_server_does_not_start_with_a_file_that_is_wrong(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "cli.toml").write_text(WRONG)
    server = cluster.add_orchestrator(MUSTER_CLI_FILE=str(tmp_path / "cli.toml"))
    try:
        assert server.wait() == 2
        assert server.log.count("stages.a.one") == 8
    finally:
        server.close()
        cluster.orchestrators.remove(server)


def test_a_server_in_production_serves_no_commands_unless_it_is_told_to(cluster: Cluster, tmp_path: Path) -> None:
    assert Settings(mode="production").mounted_surfaces == ()
    assert Settings(mode="production", surfaces=("cli",)).mounted_surfaces == ("cli",)  # type: ignore[arg-type]
