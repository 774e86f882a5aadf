"""docs/surface-executions.md, followed with curl exactly as it says."""

from tests.docs.blocks import Reader, blocks, files
from tests.docs.conftest import reader

__all__ = ["reader"]
PAGE = "docs/surface-executions.md"


def test_every_block_of_the_page_does_what_it_says(reader: Reader) -> None:
    reader.write(files("README.md"))
    reader.leave_running("muster dev --blueprints hello.py")
    done = reader.run("\n".join(blocks(PAGE, "sh")))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    lines = done.stdout.splitlines()
    assert lines[:5] == ["hello Ada", "2", "['completed', 'completed']", "{'input_file': 'data.csv'}", "2"]
    assert lines[5].startswith("€")
    assert lines[7:8] == ["careful"]
