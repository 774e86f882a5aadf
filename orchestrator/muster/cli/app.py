"""The command `muster`. Commands are imported when they are used, so that each starts fast."""

import errno
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from muster.cli.exits import CommandFailed, Exit
from muster.version import product_version

app = App(
    name="muster",
    help="A distributed orchestrator with a pull-based worker fleet.",
    version=product_version,
    version_flags=["--version"],
    help_format="plaintext",
)
_COMMANDS = {
    "dev": ("muster.cli.dev:dev", "Run everything on this machine, for development."),
    "server": ("muster.cli.server:server", "Run one orchestrator process."),
    "worker": ("muster.cli.worker:app", "Run workers and look at them."),
    "job": ("muster.cli.job:app", "Start, look at, watch and cancel jobs."),
    "why": ("muster.cli.why:why", "Say why a job is not running now."),
    "pipeline": ("muster.cli.pipeline:app", "Saved connections: list them, run them, see how they are."),
    "schedule": ("muster.cli.schedule:app", "Schedules: when they run, pause, resume, backfill."),
    "events": ("muster.cli.events:events", "Show what happens to jobs, as it happens."),
    "file": ("muster.cli.file:app", "Send, fetch and list files."),
    "batch": ("muster.cli.batch:app", "Start many jobs together."),
    "limit": ("muster.cli.limit:app", "How many tasks run at once, and start in a time."),
    "queue": ("muster.cli.limit:queues", "Pause and resume task types."),
    "cost": ("muster.cli.cost:cost", "Show what jobs cost."),
    "approval": ("muster.cli.approval:app", "Questions to people: list them, hand a say on."),
    "approve": ("muster.cli.approval:approve", "Answer a waiting job with `approved`, or another decision."),
    "reject": ("muster.cli.approval:reject", "Answer a waiting job with `rejected`."),
    "blueprint": ("muster.cli.blueprint:app", "List, check and draw blueprints."),
    "token": ("muster.cli.token:app", "Make tokens."),
    "config": ("muster.cli.config:app", "Show the settings."),
}
for _name, (_place, _help) in _COMMANDS.items():
    app.command(_place, name=_name, help=_help)


@app.command(name="version")
def show_version() -> None:
    """Print the version."""
    print(product_version())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. Whatever goes wrong ends with one `try:` line on stderr."""
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as wrong:
        return _complain(str(wrong), f"muster {_command_of(arguments)}--help", Exit.USAGE)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return Exit.FAILED
    except Exception as error:  # noqa: BLE001 -- the last resort of a program: everything becomes a message
        return explain(error, _command_of(arguments))
    return code if isinstance(code, int) else Exit.DONE


def explain(error: Exception, command: str = "") -> int:
    """Print what *error* means to the person who typed *command* (its words, a space behind each); the exit code."""
    from muster.embedded import EngineNotStarted

    if isinstance(error, CommandFailed):
        return _complain(str(error), error.way_out, error.code)
    if isinstance(error, EngineNotStarted):
        return _complain(str(error), error.hint, Exit.FAILED)
    return _explain_start(error) or _explain_problems(error) or _explain_client(error, command) or _unexpected(error)


_WAY_OUT_OF_START = {
    "StartRefused": "muster config show",
    "StoreUnavailable": "look at MUSTER_REDIS_URL: muster config show",
}


def _explain_start(error: Exception) -> int | None:
    """A server that did not come up. By name: its modules are heavy, and loaded only where they were used."""
    way_out = _WAY_OUT_OF_START.get(type(error).__name__)
    if way_out is None and isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        way_out = "--port 0, which takes any free one"
    return None if way_out is None else _complain(str(error), way_out, Exit.FAILED)


def _explain_problems(error: Exception) -> int | None:
    """Settings, credentials and blueprints all tell every problem at once, in `problems`."""
    if not getattr(error, "problems", None):
        return None
    way_out = "muster blueprint check" if type(error).__name__ == "BlueprintError" else "muster config show"
    return _complain(str(error), way_out, Exit.USAGE)


def _explain_client(error: Exception, command: str) -> int | None:
    from muster_worker.errors import ClientError, NotAllowed, NotFound, Unreachable

    from muster.cli.hints import in_commands

    match error:
        case Unreachable():
            return _complain(error.detail, error.hint or "muster dev", Exit.UNREACHABLE)
        case NotFound():
            return _complain(error.detail, in_commands(error.hint, command), Exit.NOT_FOUND)
        case NotAllowed():
            way_out = error.hint or "set MUSTER_CLIENT_TOKEN to a client's token, or --token"
            return _complain(error.detail, way_out, Exit.NOT_ALLOWED)
        case ClientError():
            return _complain(_with_members(error), in_commands(error.hint, command), Exit.FAILED)
        case _:
            return None


def _with_members(error: Exception) -> str:
    """The refusal and, where the input did not fit, each place that is wrong."""
    problem = getattr(error, "problem", {})
    details = problem.get("errors") or problem.get("allowed") or []
    said = str(getattr(error, "detail", error))
    lines = [
        f"{one.get('pointer', '')}: {one.get('detail', '')}" if isinstance(one, dict) else str(one) for one in details
    ]
    return "\n".join([said, *(f"  {line}" for line in lines if line not in said)])


def _unexpected(error: Exception) -> int:
    import os

    if os.environ.get("MUSTER_LOG_LEVEL", "").lower() == "debug":
        raise error
    way_out = "MUSTER_LOG_LEVEL=debug muster … shows where it happened"
    return _complain(f"{type(error).__name__}: {error}", way_out, Exit.FAILED)


def _complain(detail: str, way_out: str, code: Exit) -> int:
    print(f"muster: {detail}\n  try: {way_out}", file=sys.stderr)
    return code


def _command_of(arguments: Sequence[str]) -> str:
    """The command words that exist, for example `job start ` of `job start --inputt x`."""
    words = list(arguments)
    chain, _, _ = app.parse_commands(words)
    return "".join(f"{word} " for word in chain)


if __name__ == "__main__":
    main()
