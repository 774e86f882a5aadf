"""How the folders blueprint is tested: `pytest blueprints/test_folders.py`."""

from pathlib import Path

import pytest
from folders import folders
from folders_contracts import Folder, Listing, list_folder
from folders_worker import do_list
from muster.testing import TestMuster, later
from muster_worker import Permanent

TREE = {"top": ["a", "b"], "top/a": ["c"], "top/a/c": [], "top/b": []}


def listing(folder: Folder) -> Listing:
    return Listing(bytes=10, folders=TREE[folder.path])


async def test_a_tree_is_summed_up_by_a_job_for_each_folder(muster: TestMuster) -> None:
    muster.on(list_folder, listing)
    job = await muster.run(folders, Folder(path="top"))
    assert job.result == {"bytes": 40, "folders": 4, "skipped": []}
    assert len(job.family) == 4


async def test_a_folder_that_cannot_be_read_or_takes_too_long_is_skipped(muster: TestMuster) -> None:
    answers = {"top/a": Permanent("not allowed"), "top/b": later("11m", Listing(bytes=1))}
    muster.on(list_folder, lambda folder: answers.get(folder.path) or listing(folder))
    job = await muster.run(folders, Folder(path="top"))
    assert isinstance(job.result, dict)
    assert (job.result["bytes"], job.result["folders"]) == (10, 1)
    assert [line.partition(":")[0] for line in job.data["skipped"]] == ["a", "b"]
    assert sorted(child.status for child in job.children) == ["cancelled", "quarantined"]


async def test_a_tree_that_is_too_deep_is_skipped_below_the_eighth_folder(muster: TestMuster) -> None:
    muster.on(list_folder, lambda folder: Listing(bytes=1, folders=["deeper"] if folder.path.count("/") < 20 else []))
    job = await muster.run(folders, Folder(path="top"))
    assert isinstance(job.result, dict)
    assert job.result["folders"] == 9
    assert len(job.family) == 9


async def test_cancelling_the_top_cancels_all_of_it(muster: TestMuster) -> None:
    muster.on(
        list_folder, lambda folder: listing(folder) if folder.path != "top/a/c" else later("5m", Listing(bytes=1))
    )
    job = await muster.start(folders, Folder(path="top"))
    await job.cancel()
    await job.ends()
    assert {one.status for one in job.family} == {"cancelled"}


def test_the_worker_lists_what_is_below_its_folder_and_nothing_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "top" / "in").mkdir(parents=True)
    (tmp_path / "top" / "file").write_text("hello")
    monkeypatch.chdir(tmp_path)
    assert do_list(Folder(path="top")) == Listing(bytes=5, folders=["in"])
    with pytest.raises(Permanent, match="there is no folder"):
        do_list(Folder(path=".."))
