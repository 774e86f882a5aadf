"""The worker protocol, driven with curl exactly as its page says."""

from tests.docs.blocks import Reader, blocks, files


def test_every_block_of_the_worker_protocol_does_what_the_page_says(reader: Reader) -> None:
    reader.write(files("README.md"))
    reader.leave_running("muster dev --blueprints hello.py")
    done = reader.run("\n".join(blocks("docs/worker-protocol.md", "sh")))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.endswith("204\n")
