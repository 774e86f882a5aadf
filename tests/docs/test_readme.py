"""The README does what it says: its files are written, its commands are typed."""

import re

from tests.docs.blocks import ROOT, Reader, blocks, files

JOB_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


def command(beginning: str) -> str:
    """The block that begins so."""
    return next(block for block in blocks("README.md", "sh") if block.startswith(beginning)).strip()


def test_the_first_job_of_the_readme_runs_and_prints_what_the_readme_shows(reader: Reader) -> None:
    reader.write(files("README.md"))
    reader.leave_running(command("muster dev"))
    done = reader.run(command("muster job start"))
    assert done.returncode == 0, done.stderr
    shown = blocks("README.md", "")[0]
    assert JOB_ID.sub("ID", done.stdout) == JOB_ID.sub("ID", shown)
    posted = reader.run(command("curl"))
    assert '"status":"accepted"' in posted.stdout, posted.stderr


def test_the_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    pages = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"\bmake ([a-z][a-z-]+)\b(?=`|\s+#|$)", pages, re.MULTILINE))
    assert {"demo", "test", "setup"} <= named
    assert named <= set(targets)


def test_the_first_blueprint_and_worker_are_short() -> None:
    sources = files("README.md")
    lines = [line for text in sources.values() for line in text.splitlines() if line.strip()]
    assert set(sources) == {"hello.py", "hello_worker.py"}
    assert len(lines) <= 30
