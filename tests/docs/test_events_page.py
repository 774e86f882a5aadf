"""The page about live events, driven with curl exactly as it says."""

from tests.docs.blocks import Reader, blocks, files


def test_every_block_of_the_page_about_events_does_what_it_says(reader: Reader) -> None:
    reader.write(files("README.md"))
    reader.leave_running("muster dev --blueprints hello.py")
    functions = blocks("docs/worker-protocol.md", "sh")[0]
    shown, told = blocks("docs/events.md", "sh")
    done = reader.run("\n".join([functions, told]))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    of_one_job = shown.splitlines()[1].partition("#")[0]
    read = reader.run(of_one_job.replace("@last", '"$(muster job ls -o json | grep -om1 \'"id": "[^"]*\' | cut -c8-)"'))
    assert read.returncode == 0, f"{read.stdout}\n{read.stderr}"
    assert " job       cancelled" in read.stdout
    assert " end       cancelled" in read.stdout
