"""A job's log, printed."""

import sys
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

from muster.cli.output import Format, hint

if TYPE_CHECKING:
    from muster_worker.client import Client
    from muster_worker.log_stream import LogLine


async def lines_so_far(client: "Client", job_id: str, after: int) -> AsyncGenerator["LogLine", None]:
    """All lines that are there now."""
    from muster_worker.log_stream import LogLine

    while True:
        page = await client.logs(job_id, after=after)
        if page.dropped:
            text = f"{page.dropped} lines are gone: the log was longer than is kept"
            yield LogLine(seq=after + page.dropped, stream="notice", text=text, dropped=page.dropped)
        for line in page.items:
            yield line
        if page.next is None or page.next == after:
            return
        after = page.next


async def print_lines(lines: AsyncIterator["LogLine"], output: Format) -> None:
    async for line in lines:
        if output == "json":
            print(line.model_dump_json(), flush=True)
        elif line.stream == "notice":
            hint(f"-- {line.text} --")
        elif line.event is not None:
            hint(f"-- {line.event.type}: {line.event.data} --")
        else:
            print(line.text, file=sys.stderr if line.stream == "stderr" else sys.stdout, flush=True)
