"""The commands `muster worker …`."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from muster.cli.connection import HERE, Server, connect
from muster.cli.devnote import data_dir, read_note
from muster.cli.exits import CommandFailed, Exit
from muster.cli.output import Format, print_json, print_table

if TYPE_CHECKING:
    from muster_worker.settings import WorkerSettings
    from muster_worker.worker import Worker

app = App(name="worker", help="Run workers and look at them.", help_format="plaintext")


@app.command
def run(
    module: Annotated[
        str | None,
        Parameter(help="`module`, `module:name` or a file: where the Worker is, for example `shop.worker`."),
    ] = None,
    /,
    *,
    commands: Annotated[
        bool, Parameter(negative="", help="Also run commands: programs that the tasks name. See docs/commands.md.")
    ] = False,
    commands_file: Annotated[
        Path | None, Parameter(help="Run commands, and only those this TOML file allows; else MUSTER_COMMANDS_FILE.")
    ] = None,
    url: Annotated[str | None, Parameter(help="Orchestrators, separated by commas, else MUSTER_URL.")] = None,
    token: Annotated[str | None, Parameter(help="The worker's token, else MUSTER_WORKER_TOKEN.")] = None,
    worker_id: Annotated[str | None, Parameter(name="--id", help="Its id, else MUSTER_WORKER_ID.")] = None,
    slots: Annotated[int | None, Parameter(help="Tasks at a time, else MUSTER_WORKER_SLOTS, else 10.")] = None,
    price_per_second: Annotated[
        float | None,
        Parameter(help="What a second of a running task costs in EUR, else MUSTER_WORKER_PRICE_PER_SECOND, else 0."),
    ] = None,
    labels: Annotated[
        str | None, Parameter(help="What tasks may need, `gpu=a100,region=eu`, else MUSTER_WORKER_LABELS.")
    ] = None,
    resources: Annotated[
        str | None, Parameter(help="What it has, `cpu=4,memory=8GB,gpu=1,vram=24GB`, else MUSTER_WORKER_RESOURCES.")
    ] = None,
    health: Annotated[
        str | None, Parameter(help="Port, or host:port, of GET /health and /ready, else MUSTER_WORKER_HEALTH.")
    ] = None,
) -> None:
    """Run a worker until it is told to stop; running tasks may finish first."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    runs_commands = commands or commands_file is not None
    worker = _worker(module, runs_commands=runs_commands)
    settings = _settings(
        worker,
        url=url,
        token=token,
        worker_id=worker_id,
        slots=slots,
        price_per_second=price_per_second,
        labels=labels,
        resources=resources,
        health=health,
    )
    if runs_commands:
        _allow_commands(worker, commands_file, settings)
    worker.run(settings)


@app.command
async def ls(*, output: Format = "table", server: Server = HERE) -> None:
    """List the workers that are there now."""
    async with connect(server) as client:
        workers = await client.workers()
    if output == "json":
        print_json(workers)
        return
    columns = ["ID", "STATUS", "RUNNING", "SLOTS", "LABELS", "SLOWED", "TASKS"]
    print_table(columns, [_row(worker) for worker in workers])


Id = Annotated[str, Parameter(help="The worker's id, as `muster worker ls` shows it.")]


@app.command
async def drain(worker_id: Id, /, *, server: Server = HERE) -> None:
    """Give a worker no more tasks; what it has it may finish."""
    async with connect(server) as client:
        _tell(await client.drain_worker(worker_id))


@app.command
async def resume(worker_id: Id, /, *, server: Server = HERE) -> None:
    """Give a drained worker tasks again."""
    async with connect(server) as client:
        _tell(await client.resume_worker(worker_id))


@app.command
async def resize(
    worker_id: Id, slots: Annotated[int, Parameter(help="Tasks at a time.")], /, *, server: Server = HERE
) -> None:
    """Let a worker take more or fewer tasks at a time."""
    async with connect(server) as client:
        _tell(await client.resize_worker(worker_id, slots))


@app.command
async def disconnect(worker_id: Id, /, *, server: Server = HERE) -> None:
    """Let a worker finish what it has and end, with exit code 86."""
    async with connect(server) as client:
        _tell(await client.disconnect_worker(worker_id))


def _tell(worker: dict[str, Any]) -> None:
    print_table(["ID", "STATUS", "ORDER", "SLOTS"], [_ordered(worker)])


def _ordered(worker: dict[str, Any]) -> list[object]:
    slots, ordered = worker.get("max_concurrent_tasks"), worker.get("ordered_slots")
    return [worker["worker_id"], worker["status"], worker.get("order"), slots if ordered is None else ordered]


def _labels(worker: dict[str, Any]) -> str:
    labels = worker.get("labels") or {}
    return ",".join(f"{name}={value if isinstance(value, str) else '|'.join(value)}" for name, value in labels.items())


def _worker(module: str | None, *, runs_commands: bool) -> "Worker":
    if module is not None:
        return load(module)
    if not runs_commands:
        raise CommandFailed(
            "a worker needs a MODULE with its tasks, or --commands", way_out="muster worker run MODULE", code=Exit.USAGE
        )
    from muster_worker.worker import Worker

    return Worker()


def _allow_commands(worker: "Worker", file: Path | None, settings: "WorkerSettings") -> None:
    if sys.platform != "linux":
        raise CommandFailed("commands run on Linux only", way_out="docs/commands.md", code=Exit.USAGE)
    from muster_worker.command.handler import add_commands
    from muster_worker.command.settings import command_settings

    try:
        allowed = command_settings(file, url=settings.addresses)
        add_commands(worker, allowed)
    except ValueError as wrong:
        raise CommandFailed(str(wrong), way_out="docs/commands.md", code=Exit.USAGE) from None
    if allowed.allows_nothing:
        raise CommandFailed(
            "no command is allowed: this is not plainly a development machine, and no file says what may run",
            way_out="muster worker run --commands-file commands.toml",
            code=Exit.USAGE,
        )


def load(place: str) -> "Worker":
    """The worker at *place*, a module or a file with a name behind a colon if need be."""
    from muster_worker.loading import load_worker

    path, _, name = place.partition(":")
    if path.endswith(".py") and Path(path).is_file():
        sys.path.insert(0, str(Path(path).resolve().parent))
        place = Path(path).stem + (f":{name}" if name else "")
    try:
        return load_worker(place)
    except ValueError as wrong:
        raise CommandFailed(str(wrong), way_out="muster worker run MODULE:NAME", code=Exit.USAGE) from None


def _settings(worker: "Worker", *, url: str | None, token: str | None, **wishes: Any) -> "WorkerSettings":
    try:
        return worker.settings(url=url, token=token, **wishes)
    except ValueError as wrong:
        note = read_note(data_dir())
        if note is None or token is not None:
            raise CommandFailed(str(wrong), way_out="muster worker run --help", code=Exit.USAGE) from None
    return worker.settings(url=url or note.url, token=note.worker_token, **wishes)


def _row(worker: dict[str, Any]) -> list[object]:
    running = len(worker.get("current_tasks") or ())
    return [
        worker["worker_id"],
        worker["status"],
        running,
        worker.get("max_concurrent_tasks"),
        _labels(worker),
        sorted(worker.get("slowed_tasks") or ()),
        worker.get("supported_tasks"),
    ]
