"""The page about logs, driven with curl exactly as it says."""

from tests.docs.blocks import Reader, blocks, files


def test_every_block_of_the_page_about_logs_does_what_it_says(reader: Reader) -> None:
    reader.write(files("README.md"))
    reader.leave_running("muster dev --blueprints hello.py")
    functions = blocks("docs/worker-protocol.md", "sh")[0]
    shown, *told = blocks("docs/logs.md", "sh")
    done = reader.run("\n".join([functions, *told]))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    read = reader.run(shown.replace("@last", '"$(muster job ls -o json | grep -om1 \'"id": "[^"]*\' | cut -c8-)"'))
    assert read.returncode == 0, f"{read.stdout}\n{read.stderr}"
    assert read.stdout.count("looking for Ada\n") == 2
    assert read.stderr.count("found her\n") == 2
