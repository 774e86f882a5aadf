"""The file that docs/commands.md shows is one that a worker takes, and its tables say what is so."""

from pathlib import Path

from muster_worker.command import CommandParams
from muster_worker.command.contract import TIMEOUT_S
from muster_worker.command.settings import CommandSettings, Limits, command_settings

from tests.docs.blocks import ROOT, blocks

PAGE = "docs/commands.md"


def test_the_file_of_the_page_is_taken_and_names_every_setting(tmp_path: Path) -> None:
    file = tmp_path / "commands.toml"
    file.write_text(blocks(PAGE, "toml")[0])
    settings = command_settings(file)
    assert settings.model_fields_set == CommandSettings.model_fields.keys()
    assert settings.limits.model_fields_set == Limits.model_fields.keys()


def test_the_page_names_every_member_of_the_input() -> None:
    text = (ROOT / PAGE).read_text()
    assert [name for name in CommandParams.model_fields if f"`{name}`" not in text] == []
    assert f"{TIMEOUT_S:g} by default" in text
