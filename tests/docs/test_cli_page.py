"""The page about declared commands, with the file that it shows and with curl exactly as it says."""

import re
from pathlib import Path

from muster.surfaces.cli.definition import Argument, Command
from muster.surfaces.cli.loading import read_catalog

from tests.docs.blocks import ROOT, Reader, blocks

PAGE = "docs/surface-cli.md"
SAID = re.compile(r"  # (.+)$", re.MULTILINE)


def test_every_block_of_the_page_about_declared_commands_does_what_it_says(reader: Reader) -> None:
    (reader.machine.folder / "cli.toml").write_text(blocks(PAGE, "toml")[0])
    reader.variables["MUSTER_CLI_FILE"] = "cli.toml"
    reader.leave_running("muster dev")
    script = "\n".join(blocks(PAGE, "sh"))
    done = reader.run(script)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    rest = done.stdout
    for said in SAID.findall(script):
        assert said in rest, f"{said!r} after what was shown before, in:\n{done.stdout}"
        rest = rest[rest.index(said) + len(said) :]


def test_the_page_names_every_member_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "cli.toml").write_text(blocks(PAGE, "toml")[0])
    assert list(read_catalog(tmp_path / "cli.toml").stages["text"]) == ["count", "sort"]
    text = (ROOT / PAGE).read_text()
    assert [name for name in (*Command.model_fields, *Argument.model_fields) if f"`{name}`" not in text] == []
