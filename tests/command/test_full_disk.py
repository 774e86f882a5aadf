"""A worker whose own disk is full says so of the task, leaves nothing, and runs the next command once there is room."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from muster_worker import Failed
from muster_worker.command.settings import CommandSettings

from tests.command.running import Bench
from tests.support.disks import MIB, SIZE, fill, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "tasks") as folder:
        yield folder


@pytest.fixture
def bench(disk: Path) -> Iterator[Bench]:
    """Whatever the test does, no process and no directory may be left by it."""
    bench = Bench(CommandSettings.development(folder=disk, grace_seconds=0.3))
    yield bench
    assert bench.left() == []
    assert bench.folders() == []


async def works(bench: Bench) -> None:
    result = await bench.run("sh", "-c", "echo done > out.txt; echo ARTIFACT:out.txt")
    assert (result.exit_code, result.error, bench.ctx.files.uploaded["out.txt"]) == (0, None, b"done\n")


async def test_an_input_that_has_no_room(bench: Bench) -> None:
    bench.ctx.files.stored["f"] = os.urandom(2 * SIZE)
    with pytest.raises(Failed, match=r"^input 'big.bin' could not be fetched: .*No space left") as failed:
        await bench.run("true", inputs=[{"file_id": "f", "name": "big.bin"}])
    assert (failed.value.data or {})["exit_code"] is None
    await works(bench)


async def test_a_script_that_has_no_room(bench: Bench, disk: Path) -> None:
    other = fill(disk, 0)
    script = "print('x')  " + "#" * 200_000
    with pytest.raises(Failed, match=r"^command could not be prepared: .*No space left") as failed:
        await bench.run(script_content=script, runtime="python:3.11")
    assert (failed.value.data or {})["exit_code"] is None
    assert bench.folders() == [other]
    other.unlink()
    await works(bench)


async def test_a_command_that_fills_the_disk_itself(bench: Bench) -> None:
    """Its own writes fail; what it printed is told, and what it finished is kept."""
    script = f"echo small > a.txt; head -c {2 * SIZE} /dev/urandom > big.bin || echo full; rm big.bin; exit 3"
    with pytest.raises(Failed, match=r"^command exited with status 3$"):
        await bench.run("sh", "-c", script, collect=["a.txt"])
    assert "full" in bench.ctx.lines()
    assert bench.ctx.files.uploaded == {"a.txt": b"small\n"}
    await works(bench)


async def test_a_folder_that_has_no_room_to_be_packed(bench: Bench) -> None:
    script = f"mkdir out; head -c {5 * MIB // 2} /dev/urandom > out/big.bin"
    with pytest.raises(Failed, match=r"^a folder could not be packed: .*No space left") as failed:
        await bench.run("sh", "-c", script, collect=["out/"])
    told = failed.value.data or {}
    assert (told["exit_code"], told["artifacts"]) == (0, [])
    await works(bench)


async def test_the_file_of_what_was_printed_that_has_no_room(bench: Bench, disk: Path) -> None:
    """It costs the file, not the command."""
    other = fill(disk)
    result = await bench.run_python("for i in range(100): print('x' * 9999)", stdout_file="out.txt")
    other.unlink()
    assert (result.exit_code, result.error, result.output_file, result.artifacts) == (0, None, None, [])
    assert len(bench.ctx.lines()) == 100
    await works(bench)
