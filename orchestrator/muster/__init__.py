"""What a blueprint's author imports. Each name is looked up when first used, so that `import muster` stays cheap."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from muster_worker.contracts import task
    from muster_worker.retry_policy import AT_ONCE, NEVER, RetryPolicy

    from muster.blueprint.answers import Answer, Decision, TaskError
    from muster.blueprint.asking import Escalate
    from muster.blueprint.definition import Blueprint
    from muster.blueprint.job import Job
    from muster.blueprint.planned import cron, every
    from muster.blueprint.state import State, failed, finished
    from muster.core.decisions import Decision as Next
    from muster.core.join import Join

__all__ = [
    "AT_ONCE",
    "NEVER",
    "Answer",
    "Blueprint",
    "Decision",
    "Escalate",
    "Job",
    "Join",
    "Next",
    "RetryPolicy",
    "State",
    "TaskError",
    "cron",
    "every",
    "failed",
    "finished",
    "task",
]

_HOMES: Final = {
    "Answer": ("muster.blueprint.answers", "Answer"),
    "AT_ONCE": ("muster_worker.retry_policy", "AT_ONCE"),
    "NEVER": ("muster_worker.retry_policy", "NEVER"),
    "RetryPolicy": ("muster_worker.retry_policy", "RetryPolicy"),
    "Blueprint": ("muster.blueprint.definition", "Blueprint"),
    "Decision": ("muster.blueprint.answers", "Decision"),
    "Escalate": ("muster.blueprint.asking", "Escalate"),
    "Job": ("muster.blueprint.job", "Job"),
    "Join": ("muster.core.join", "Join"),
    "Next": ("muster.core.decisions", "Decision"),
    "State": ("muster.blueprint.state", "State"),
    "TaskError": ("muster.blueprint.answers", "TaskError"),
    "cron": ("muster.blueprint.planned", "cron"),
    "every": ("muster.blueprint.planned", "every"),
    "failed": ("muster.blueprint.state", "failed"),
    "finished": ("muster.blueprint.state", "finished"),
    "task": ("muster_worker.contracts", "task"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'muster' has no attribute {name!r}; it has {', '.join(__all__)}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value
