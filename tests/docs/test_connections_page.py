"""The two pages about connections, followed line by line, and their table held against the model."""

import pytest
from muster.core.connection import Connection

from tests.docs.blocks import ROOT, Reader, blocks


@pytest.mark.parametrize("page", ["docs/connections.md", "docs/surface-connections.md"])
def test_every_block_of_the_pages_about_connections_does_what_it_says(reader: Reader, page: str) -> None:
    reader.write({"connections.toml": blocks(page, "toml")[0]})
    reader.variables |= {"MUSTER_CONNECTIONS_FILE": "connections.toml", "DATAPIPELINES_API_KEY": "k" * 40}
    reader.leave_running("muster dev")
    script = "\n".join(blocks(page, "sh"))
    done = reader.run(script)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    for said in [line.partition("# ")[2] for line in script.splitlines() if "  # " in line]:
        assert said in done.stdout, said


def test_the_page_names_every_member_of_a_connection() -> None:
    text = (ROOT / "docs/connections.md").read_text()
    names = {field.alias or name for name, field in Connection.model_fields.items()}
    assert [name for name in names if f"`{name}`" not in text] == []
