"""Runs a declared command: a job of the blueprint `command`, waited for or not."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from muster.api.call import Call, json_answer
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine.files import FILE_GONE
from muster.errors import ErrorCode, MusterError
from muster.files.zipping import distinct_names
from muster.surfaces.cli.arguments import ArgumentsRefused, Given, command_line, file_ids, given_arguments
from muster.surfaces.cli.catalog import CATALOG
from muster.surfaces.cli.definition import Command
from muster.surfaces.cli.models import RunCommand
from muster.surfaces.command_job import SURFACE, exit_code_of, submit_command
from muster.surfaces.output import collected_output

SURFACE_NAME: Final = "cli"
FILES_MAX: Final = 1000
"""Of one run; the command task takes no more."""
STDOUT_FILE: Final = "output.txt"
"""What was printed, where no argument names a file that the command makes."""


async def cli_run(call: Call) -> web.Response:
    """Run a command: answered when it has ended (`sync`), or with the id of its job (`async`)."""
    order = call.body(RunCommand)
    command = _command(call, order)
    given = _given(command, order)
    files = await _files(call, given)
    waits = order.mode == "sync"
    wait_ms = int(call.edge.settings.sync_wait_seconds * 1000) if waits else 0
    params = _params(order, command, given, files)
    submitted = await submit_command(call.engine, call.tenant, params, wait_ms=wait_ms)
    if not waits:
        return json_answer(
            {"status": "accepted", "job_id": submitted.job_id, "stdout": None, "stderr": None, "exit_code": None}
        )
    if submitted.record is None or not submitted.record.status.is_final:
        raise MusterError(
            ErrorCode.STILL_RUNNING,
            f"The command has not ended within {call.edge.settings.sync_wait_seconds:g} s; its job goes on.",
            hint=f"GET /jobs/{submitted.job_id} tells how it ends.",
            extra={"job_id": submitted.job_id},
        )
    return json_answer(await _ended(call, submitted.record))


async def _ended(call: Call, record: JobRecord) -> dict[str, Any]:
    output = await collected_output(call.engine, call.tenant, record.id)
    exit_code = exit_code_of(record)
    succeeded = record.status is JobStatus.FINISHED and exit_code == 0
    return {
        "status": "success" if succeeded else "error",
        "stdout": output.stdout,
        "stderr": output.stderr,
        "exit_code": exit_code,
        "job_id": record.id,
        "error": "cancelled" if record.status is JobStatus.CANCELLED else record.error,
        "output_truncated": output.is_truncated,
    }


def _command(call: Call, order: RunCommand) -> Command:
    stages = call.request.app[CATALOG].stages
    commands = stages.get(order.stage)
    if commands is None:
        raise _unknown(f"Invalid stage {order.stage!r}", sorted(stages))
    command = commands.get(order.command)
    if command is None:
        raise _unknown(f"Invalid command {order.command!r} for stage {order.stage!r}", sorted(commands))
    return command


def _unknown(detail: str, allowed: list[str]) -> MusterError:
    hint = f"One of: {', '.join(allowed)}." if allowed else "No stages are configured: see MUSTER_CLI_FILE."
    return MusterError(ErrorCode.UNKNOWN_COMMAND, detail, hint=hint, extra={"allowed": allowed})


def _given(command: Command, order: RunCommand) -> Given:
    try:
        given = given_arguments(command, order.args)
    except ArgumentsRefused as refused:
        errors = [{"pointer": f"/args/{name}", "detail": text} for name, text in refused.problems]
        detail = f"args.{refused.problems[0][0]} {refused.problems[0][1]}."
        raise MusterError(ErrorCode.UNPROCESSABLE, detail, extra={"errors": errors}) from None
    if len(file_ids(given)) > FILES_MAX:
        raise MusterError(ErrorCode.UNPROCESSABLE, f"A command takes at most {FILES_MAX} files.")
    return given


async def _files(call: Call, given: Given) -> dict[str, str]:
    """By the id of each uploaded file that the arguments name, its own name.

    Raises:
        MusterError: FILE_NOT_FOUND with every id that is unknown, or another tenant's.
    """
    found: dict[str, str] = {}
    missing: list[str] = []
    for file_id in file_ids(given):
        try:
            found[file_id] = (await call.engine.files.find(call.tenant, file_id)).file.name
        except MusterError as error:
            if error.code not in FILE_GONE:
                raise
            missing.append(file_id[:100])
    if missing:
        raise MusterError(
            ErrorCode.FILE_NOT_FOUND,
            f"There is no uploaded file {', '.join(missing[:5])}.",
            hint="POST /upload gives the id of a file; it is kept for a limited time.",
            extra={"file_ids": missing},
        )
    return found


def _params(order: RunCommand, command: Command, given: Given, files: Mapping[str, str]) -> dict[str, Any]:
    # The command must not find its own input where its output goes.
    outputs = [name for name in command_line(command, given, files).collect if "/" not in name]
    names = distinct_names([*outputs, STDOUT_FILE, *files.values()])[-len(files) :] if files else []
    placed = dict(zip(files, names, strict=True))
    # A program would take a name that begins so for a flag.
    words = {file_id: f"./{name}" if name.startswith("-") else name for file_id, name in placed.items()}
    line = command_line(command, given, words)
    return {
        "argv": line.argv,
        "environment": command.environment,
        "timeout_seconds": command.timeout_seconds,
        "inputs": [{"name": name, "file_id": file_id} for file_id, name in placed.items()],
        "collect": line.collect,
        "stdout_file": None if line.collect else STDOUT_FILE,
        "labels": {SURFACE: SURFACE_NAME, "stage": order.stage, "command": order.command},
    }
