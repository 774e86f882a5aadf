"""Rows of the table about limits and pauses."""

from typing import Final

from muster.api import limit_models as m
from muster.api import limits
from muster.api.operations import KIBIBYTE, Answer, Auth, Operation, Tag
from muster.errors import ErrorCode as E

_STORE: Final = (E.STORE_UNAVAILABLE,)
_LIMIT: Final = (E.INVALID_LIMIT, E.FORBIDDEN, *_STORE)
_PAUSE: Final = (E.TOO_MANY_LIMITS, *_LIMIT)
_SAYS_SO: Final = (Answer(200, "The limit that says so.", m.Limit),)

# fmt: off
LIMIT_OPERATIONS: Final = (
    Operation("GET", "/api/v1/limits", limits.list_limits, "Limits, and how they stand", Tag.LIMITS,
              (Answer(200, "Those that bear upon the caller's tasks.", m.Limits),), Auth.CLIENT, errors=_STORE),
    Operation("PUT", "/api/v1/limits/{scope}/{name}", limits.put_limit, "Set a limit", Tag.LIMITS,
              (Answer(200, "It holds from now on, for what waits already too.", m.Limit),), Auth.CLIENT,
              body=m.SetLimit, body_bytes_max=16 * KIBIBYTE, errors=(E.TOO_MANY_LIMITS, *_LIMIT)),
    Operation("DELETE", "/api/v1/limits/{scope}/{name}", limits.delete_limit, "Lift a limit", Tag.LIMITS,
              (Answer(204, "Lifted, and its pause with it."),), Auth.CLIENT,
              errors=(E.LIMIT_NOT_FOUND, E.LIMIT_OF_FILE, *_LIMIT)),
    Operation("POST", "/api/v1/queues/{task}/pause", limits.pause_queue, "Pause a task type", Tag.LIMITS,
              _SAYS_SO, Auth.OPERATOR, errors=_PAUSE),
    Operation("POST", "/api/v1/queues/{task}/resume", limits.resume_queue, "Resume a task type", Tag.LIMITS,
              _SAYS_SO, Auth.OPERATOR, errors=_LIMIT),
    Operation("POST", "/api/v1/blueprints/{blueprint_name}/pause", limits.pause_blueprint, "Pause a blueprint",
              Tag.LIMITS, _SAYS_SO, Auth.OPERATOR, errors=_PAUSE),
    Operation("POST", "/api/v1/blueprints/{blueprint_name}/resume", limits.resume_blueprint, "Resume a blueprint",
              Tag.LIMITS, _SAYS_SO, Auth.OPERATOR, errors=_LIMIT),
)
# fmt: on
