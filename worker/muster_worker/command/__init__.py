"""Any program as a task: what to run, what a worker may run, and how it runs it. docs/commands.md tells the whole."""

from muster_worker.command.contract import (
    COMMAND,
    COMMAND_FAILED,
    CommandInput,
    CommandParams,
    CommandResult,
    command_task,
)

__all__ = [
    "COMMAND",
    "COMMAND_FAILED",
    "CommandInput",
    "CommandParams",
    "CommandResult",
    "command_task",
]
