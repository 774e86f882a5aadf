"""Blueprints from files and modules, reloading, and the versions running jobs stay on."""

import sys
from pathlib import Path

import pytest
from muster.blueprint.facts import JobFacts
from muster.blueprint.problems import BlueprintError
from muster.blueprint.registry import Registry
from muster.core.decisions import Done

HEAD = "from muster import Blueprint, Job, Next, finished\n"
ONE = 'b = Blueprint("{name}", version={version})\n@b.start\nasync def first(job: Job) -> Next: return {ending}\n'


def one(name: str = "a", version: int = 1, ending: str = "job.done(1)") -> str:
    return HEAD + ONE.format(name=name, version=version, ending=ending)


def test_the_folder_of_examples_loads_whole() -> None:
    registry = Registry()
    registry.load("blueprints")
    assert {"approval_flow", "demo", "heartbeat", "orders", "simple_flow"} <= set(registry.names())
    found = registry.by_endpoint("v1", "jobs/simple_flow")
    assert found is registry.get("simple_flow")
    assert registry.by_endpoint("v2", "jobs/simple_flow") is None


def test_a_folder_leaves_workers_tests_and_private_files_alone(tmp_path: Path) -> None:
    for name in ("worker", "a_worker", "test_a", "conftest", "_a"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('must not be run')\n")
    (tmp_path / "a.py").write_text(one())
    assert [b.name for b in Registry().load(tmp_path)] == ["a"]


def test_a_blueprint_imports_its_neighbours_and_two_folders_do_not_mix(tmp_path: Path) -> None:
    registry = Registry()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "contracts.py").write_text(f"NAME = {name!r}\n")
        text = one().replace('"a"', "NAME")
        (tmp_path / name / "flow.py").write_text("from contracts import NAME\n" + text)
        registry.load(tmp_path / name / "flow.py")
    assert registry.names() == ("one", "two")
    assert str(tmp_path / "one") not in sys.path


def test_a_file_called_like_a_known_module_hides_nothing(tmp_path: Path) -> None:
    import email

    (tmp_path / "email.py").write_text(one("mail"))
    Registry().load(tmp_path / "email.py")
    assert sys.modules["email"] is email


def test_a_dotted_module_is_loaded_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "shop_for_test"
    package.mkdir()
    (package / "__init__.py").write_text("from shop_for_test.flows import b\n")
    (package / "flows.py").write_text(one("shop"))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [b.name for b in Registry().load("shop_for_test")] == ["shop"]
    assert [b.name for b in Registry().load("shop_for_test.flows")] == ["shop"]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("no/such/file.py", "there is no such file or folder"),
        ("no_such_module_here", "there is no module 'no_such_module_here'"),
    ],
)
def test_what_does_not_exist_is_told(what: str, words: str) -> None:
    with pytest.raises(BlueprintError, match=words):
        Registry().load(what)


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    registry = Registry()
    for name in ("x", "y"):
        (tmp_path / f"{name}.py").write_text(one())
    registry.load(tmp_path / "x.py")
    with pytest.raises(BlueprintError, match="another blueprint is called 'a'"):
        registry.load(tmp_path / "y.py")


async def test_jobs_stay_on_their_version_when_a_file_is_reloaded(tmp_path: Path) -> None:
    registry, path = Registry(), tmp_path / "a.py"
    path.write_text(one(version=1))
    (old,) = registry.load(path)
    path.write_text(one(version=2, ending="job.go(finished)"))
    (new,) = registry.reload(path)
    assert registry.get("a") is new
    assert registry.find("a", old.version) is old
    assert registry.find("a", new.version) is new
    entered = await old.enter("first", JobFacts("j", "t", "a", {}))
    assert entered.decision == Done(1)


def test_a_lost_version_falls_back_to_the_same_number_and_no_other(tmp_path: Path) -> None:
    registry, path = Registry(), tmp_path / "a.py"
    path.write_text(one(version=1))
    registry.load(path)
    path.write_text(one(version=1, ending="job.go(finished)"))
    (newer,) = registry.reload(path)
    assert registry.find("a", "1:00000000") is newer
    assert registry.find("a", "2:00000000") is None
    assert registry.find("b", "1:00000000") is None


def test_a_blueprint_gone_from_its_file_takes_no_new_jobs(tmp_path: Path) -> None:
    registry, path = Registry(), tmp_path / "a.py"
    path.write_text(one("a"))
    (old,) = registry.load(path)
    path.write_text(one("b"))
    registry.reload(path)
    assert registry.names() == ("b",)
    assert registry.by_endpoint("v1", "jobs/a") is None
    assert registry.find("a", old.version) is old


def test_a_failed_reload_changes_nothing(tmp_path: Path) -> None:
    registry, path = Registry(), tmp_path / "a.py"
    path.write_text(one())
    (old,) = registry.load(path)
    path.write_text("nonsense(\n")
    with pytest.raises(BlueprintError, match="SyntaxError"):
        registry.reload(path)
    assert registry.get("a") is old


def test_a_changed_neighbour_is_read_again(tmp_path: Path) -> None:
    registry, path = Registry(), tmp_path / "flow.py"
    (tmp_path / "contracts.py").write_text("VERSION = 1\n")
    path.write_text("from contracts import VERSION\n" + one().replace("version=1", "version=VERSION"))
    registry.load(path)
    (tmp_path / "contracts.py").write_text("VERSION = 22\n")
    (new,) = registry.reload(path)
    assert new.version_number == 22


async def test_postponed_annotations_and_forward_types_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "late.py"
    path.write_text(
        "from __future__ import annotations\n"
        + HEAD
        + 'b = Blueprint("late")\n'
        + "@b.start\nasync def first(job: Job[Unknown]) -> Next: return job.go(second, Point(x=1))\n"
        + "@b.state\nasync def second(job: Job, point: Point) -> Next: return job.done(point.x)\n"
        + "from pydantic import BaseModel\nclass Point(BaseModel):\n    x: int\n"
    )
    (blueprint,) = Registry().load(path)
    entered = await blueprint.enter("second", JobFacts("j", "t", "late", {}), {"x": "4"})
    assert entered.decision == Done(4)
