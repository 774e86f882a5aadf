"""The handler of `command` tasks: from params to a process, its output and its files, and back to a result."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from muster_worker.command.contract import COMMAND_FAILED, CommandParams, CommandResult, command_task
from muster_worker.command.inputs import InputMissing, fetch_inputs
from muster_worker.command.keeping import Kept, files_to_keep, output_file
from muster_worker.command.output import Output
from muster_worker.command.plan import NotAllowed, plan, script_names
from muster_worker.command.printed import Printed
from muster_worker.command.process import Ended, NotStarted, Order, Process, SupervisorLost, supervised
from muster_worker.command.secrecy import close_to_commands
from muster_worker.command.settings import CommandSettings
from muster_worker.context import Ctx
from muster_worker.errors import ClientError, Failed
from muster_worker.worker import Worker

TIMED_OUT = -1
NO_PROGRAM = 127
OF_A_SIGNAL = 128


class CommandHandler:
    """Runs what *settings* allow. `run` is the handler; several may run at once."""

    def __init__(self, settings: CommandSettings) -> None:
        self._settings = settings

    async def run(self, ctx: Ctx, params: CommandParams) -> CommandResult:
        """Raises Failed, with the result as its data, where the command did not end well."""
        result = await _Run(ctx, params, self._settings).run()
        if result.error is not None:
            raise Failed(result.error, code=COMMAND_FAILED, data=result.model_dump())
        return result


def add_commands(worker: Worker, settings: CommandSettings, *, slots: int | None = None) -> None:
    """Let *worker* take `command` tasks, `slots` at a time. Raises ValueError where it has a handler for them."""
    if sys.platform != "linux":
        raise ValueError("commands run on Linux only: nothing else can be made to leave no process behind")
    close_to_commands()
    worker.add(command_task, CommandHandler(settings).run, slots=slots)
    worker.offer_runtimes(settings.runtimes)


class _Run:
    """One run of one command."""

    def __init__(self, ctx: Ctx, params: CommandParams, settings: CommandSettings) -> None:
        self._ctx = ctx
        self._params = params
        self._settings = settings
        self._process: Process | None = None
        self._stopped_for: str | None = None
        self._timed_out = False
        self._printed = Printed()
        self._output = Output(
            ctx.emit,
            has_markers=params.markers,
            bytes_max=settings.output_bytes_max,
            stop=self._stop,
            copy=None if params.stdout_file is None else self._printed.take,
        )

    async def run(self) -> CommandResult:
        try:
            async with supervised(self._settings.folder, self._output.take) as self._process:
                return await self._run_in(self._process)
        except NotStarted as error:
            return CommandResult(exit_code=NO_PROGRAM, error=f"command could not be started: {error}")
        except (NotAllowed, InputMissing) as error:
            return CommandResult(error=str(error))
        except SupervisorLost as error:
            exit_code = TIMED_OUT if self._timed_out else OF_A_SIGNAL + signal.SIGKILL
            return CommandResult(exit_code=exit_code, error=self._stopped_for or str(error))
        except OSError as error:
            return CommandResult(error=f"command could not be prepared: {error}")
        finally:
            self._printed.close()

    async def _run_in(self, process: Process) -> CommandResult:
        order = plan(self._params, self._settings, process.folder, os.environ)
        await fetch_inputs(self._params, self._settings, process.folder, self._download)
        self._printed.folder = process.folder
        try:
            ended = await self._until_ended(process, order)
        except BaseException:
            self._output.end_step(succeeded=False, exit_code=None)
            raise
        self._output.flush()  # the last line may still say that it failed
        result = self._result(ended)
        self._output.end_step(succeeded=result.error is None, exit_code=result.exit_code)
        return await self._with_files(result, process.folder, order.directory)

    async def _until_ended(self, process: Process, order: Order) -> Ended:
        """Cancelled, it stops the command first: politely the first time, at once the second."""
        loop = asyncio.get_running_loop()
        running = asyncio.ensure_future(process.run(order))
        timer = loop.call_later(self._params.timeout_seconds, self._time_is_up)
        cancelled: asyncio.CancelledError | None = None
        try:
            while not running.done():
                try:
                    await asyncio.wait({running})
                except asyncio.CancelledError as error:
                    process.stop(self._grace_s() if cancelled is None else 0)
                    cancelled = error
        finally:
            timer.cancel()
        if cancelled is not None:
            running.exception()
            raise cancelled
        return running.result()

    def _grace_s(self) -> float:
        """Another worker may have the task already where the lease is lost."""
        return 0 if self._ctx.stop_reason == "lost" else self._settings.grace_seconds

    def _time_is_up(self) -> None:
        self._timed_out = self._stopped_for is None
        self._stop(f"timed out after {self._params.timeout_seconds:g} s")

    def _stop(self, why: str) -> None:
        if self._stopped_for is None and self._process is not None:
            self._stopped_for = why
            self._process.stop(self._settings.grace_seconds)

    def _result(self, ended: Ended) -> CommandResult:
        exit_code = ended.status if ended.status >= 0 else OF_A_SIGNAL - ended.status
        error = self._stopped_for
        if error is None and ended.status != 0:
            error = f"command exited with status {exit_code}" + _named_signal(-ended.status)
        return CommandResult(
            exit_code=TIMED_OUT if self._timed_out else exit_code,
            run_seconds=ended.run_seconds,
            meta=self._output.steps.meta,
            error=error,
        )

    async def _with_files(self, result: CommandResult, folder: Path, directory: Path) -> CommandResult:
        printed = self._printed.close()
        own = script_names(self._params) | ({printed.name} if printed is not None else set())
        named = self._output.steps.files
        try:
            found = await asyncio.to_thread(files_to_keep, self._params, folder, directory, named, own, printed)
        except OSError as full:
            return result.model_copy(update={"error": result.error or f"a folder could not be packed: {full}"})
        for file in found:
            if not isinstance(file, Kept):
                self._output.say(f"{file.name!r} is not kept: no such file in the working directory")
        files = [file for file in found if isinstance(file, Kept)]
        names, error = await self._upload(files)
        return result.model_copy(
            update={
                "artifacts": names,
                "output_file": output_file(self._params, files[: len(names)]),
                "input_paths": [str(folder / given.name) for given in self._params.inputs],
                "error": result.error or error,
            }
        )

    async def _upload(self, files: Sequence[Kept]) -> tuple[list[str], str | None]:
        """Names of what was stored, and why not all was."""
        names: list[str] = []
        for file in files:
            if len(names) >= self._settings.artifacts_max:
                return names, f"the command left {len(files)} files; this worker keeps {self._settings.artifacts_max}"
            try:
                kept = await self._ctx.files.upload(file.path, file.name, description=file.description, step=file.step)
            except (ClientError, OSError) as error:
                return names, f"artifact {file.name!r} could not be stored: {error}"
            names.append(kept.name)
        return names, None

    async def _download(self, file_id: str, path: Path, /) -> None:
        try:
            await self._ctx.files.download(file_id, path)
        except (ClientError, OSError) as error:
            raise InputMissing(f"input {path.name!r} could not be fetched: {error}") from error


def _named_signal(number: int) -> str:
    """Nothing for a number that has no name, as those of the real-time signals."""
    return f" ({signal.Signals(number).name})" if number in set(signal.Signals) else ""
