"""`make demo`: the whole of Muster on this machine for a few seconds, with real processes and a real input.

Workers count the words of a text in parallel, a person is asked, the report is published. Everything that is started
is stopped again.
"""

import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Final

import aiohttp
import orjson
from cyclopts import App, Parameter
from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from muster.cli.app import explain
from muster.cli.exits import CommandFailed, Exit
from muster.cli.ports import any_free_port
from muster.cli.stage import HOST, Stage, example, stage

if TYPE_CHECKING:
    from muster_worker.client import Client, JobState

WORKERS: Final = ("ada", "grace")
INPUT_BYTES_MAX: Final = 500_000
"""Half of what a request may hold, as text grows when it is written as JSON."""
JOB_SECONDS_MAX: Final = 60.0

screen = Console(highlight=False, markup=False, soft_wrap=True)
app = App(name="demo", help="Run the demo job.", help_format="plaintext")


@app.default
def demo(
    *,
    input: Annotated[  # noqa: A002 -- the word people type
        Path | None, Parameter(help="A text file; the project's own docs by default.")
    ] = None,
) -> None:
    """Count the words of a text on two workers and have the report approved."""
    title, text = read_text(input)
    with stage(any_free_port(HOST), log_to_files=True) as place:
        try:
            asyncio.run(_play(place, title, text))
        except CommandFailed:
            raise
        except Exception as error:
            raise CommandFailed(
                f"the demo failed: {type(error).__name__}: {error}\n{place.children.log_tails()}",
                way_out="read the lines above",
            ) from error
    screen.print("Everything that was started has been stopped.", style="dim")


def read_text(path: Path | None) -> tuple[str, str]:
    """What the text is, in words, and the text, cut so that it fits into one request."""
    files = [path] if path is not None else own_documents()
    try:
        whole = "\n".join(file.read_text(errors="replace") for file in files)
    except OSError as wrong:
        raise CommandFailed(
            f"{wrong.filename}: {wrong.strerror}", way_out="make demo INPUT=README.md", code=Exit.USAGE
        ) from None
    text = whole.encode()[:INPUT_BYTES_MAX].decode(errors="ignore")
    name = str(path) if path is not None else f"{len(files)} documents of this project"
    cut = f", cut to {INPUT_BYTES_MAX // 1000} kB" if len(text) < len(whole) else ""
    return f"{name} ({len(whole.encode()) / 1000:.0f} kB{cut})", text


def own_documents() -> list[Path]:
    """The project's README and docs; as installed, where there are none, the example blueprints."""
    folder = example("demo.py").parent
    root = folder.parent
    found = [path for path in [root / "README.md", *sorted((root / "docs").glob("**/*.md"))] if path.is_file()]
    return found or sorted(folder.glob("*.py"))


async def _play(place: Stage, title: str, text: str) -> None:
    from muster_worker.client import Client

    place.start_server([example("demo.py")], MUSTER_CLIENT_TOKEN=place.client_token)
    for name in WORKERS:
        place.start_worker(name, str(example("demo_worker.py")))
    async with Client(place.url, place.client_token) as client:
        screen.print("Starting Valkey, an orchestrator and two workers …", style="dim")
        await place.wait_until_ready(client, workers=len(WORKERS))
        screen.print(f"Input: {title}")
        job_id = await client.start("demo", {"text": text})
        state = await _follow(place, client, job_id)
        await _tell(client, state)


async def _follow(place: Stage, client: "Client", job_id: str) -> "JobState":
    """Show the job until it is final, and answer when it asks."""
    shown: list[Text] = []
    answered = False
    last: JobState | None = None
    async with asyncio.timeout(JOB_SECONDS_MAX):
        with Live(console=screen, refresh_per_second=12) as live:
            async for state in client.watch(job_id):
                last = state
                place.fail_if_a_process_ended()
                line = Text(f"  {state.current_state:<12} {state.status}")
                if not shown or line != shown[-1]:
                    shown.append(line)
                live.update(_picture(shown, is_final=state.is_final))
                if state.status == "waiting_for_human" and state.waiting_for is not None and not answered:
                    answered = True
                    shown.append(Text(f"  asked: {state.waiting_for.message}", style="yellow"))
                    await _approve(place, job_id)
                    shown.append(Text(f"  answered: POST /_public/webhooks/approval/{job_id}", style="yellow"))
    if not screen.is_terminal:
        screen.print()  # the live display ends its last line at a terminal only
    assert last is not None
    if not last.succeeded:
        raise CommandFailed(
            f"the demo job {last.status}: {last.error_message}\n{place.children.log_tails()}",
            way_out="read the lines above",
            code=Exit.JOB_FAILED,
        )
    return last


def _picture(lines: Sequence[Text], *, is_final: bool) -> Group:
    return Group(*lines) if is_final else Group(*lines, Spinner("dots"))


async def _approve(place: Stage, job_id: str) -> None:
    """What any outside system would do: post the decision to the public webhook."""
    url = f"{place.url}/_public/webhooks/approval/{job_id}"
    decision = {"decision": "approved", "comment": "approved by the demo"}
    async with aiohttp.ClientSession() as session, session.post(url, json=decision) as answer:
        if answer.status != 200:
            raise CommandFailed(
                f"the approval was refused: {answer.status} {await answer.text()}", way_out="docs/worker-protocol.md"
            )


async def _tell(client: "Client", state: "JobState") -> None:
    history = await client.history(state.id)
    screen.print("\nWho did the work", style="bold")
    for worker, count in sorted(_tasks_by_worker(history).items()):
        screen.print(f"  {worker:<8} {count} tasks")
    screen.print("\nResult", style="bold")
    screen.print(_indented(orjson.dumps(state.result, option=orjson.OPT_INDENT_2).decode()))
    screen.print("\nGraph of the blueprint (blueprints/demo.py)", style="bold")
    screen.print(_indented(await client.graph("demo", "mermaid")))
    took = (state.finished_at - state.created_at).total_seconds() if state.finished_at and state.created_at else 0.0
    screen.print(f"\nJob {state.id} finished in {took:.2f} s, with {len(history)} events in its history.")
    screen.print("Where to look next", style="bold")
    screen.print("  muster dev               the same on your machine, until you stop it, with your blueprints")
    screen.print("  blueprints/demo.py       the blueprint that just ran, and demo_worker.py beside it")
    screen.print("  docs/architecture.md     how the parts fit together")
    screen.print("  make help                everything else")


def _tasks_by_worker(history: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for event in history:
        if event.get("event_type") == "task_finished" and event.get("worker_id"):
            counts[event["worker_id"]] = counts.get(event["worker_id"], 0) + 1
    return counts


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())


def main() -> None:
    """Run the demo and end the process with its exit code."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        app(result_action="return_none")
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 -- the last resort of a program: everything becomes a message
        sys.exit(explain(error))


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Leave the `with` blocks, which stop everything."""
    sys.exit(Exit.INTERRUPTED)


if __name__ == "__main__":
    main()
