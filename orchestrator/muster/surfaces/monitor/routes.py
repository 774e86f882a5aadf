"""The rows of document 003. Who calls without a key is the tenant `anonymous`, where that is allowed."""

from typing import Any, Final

from pydantic import BaseModel, create_model

from muster.api import client_socket
from muster.api.operations import Answer, Auth, Operation, Tag
from muster.api.parameters import text_parameter, whole_parameter
from muster.errors import ErrorCode as E
from muster.surfaces.monitor import artifacts, executions, health, socket
from muster.surfaces.monitor import models as m
from muster.surfaces.monitor.envelope import PATHS, error_answer

ENVELOPES: Final = dict.fromkeys(PATHS, error_answer)
_STORE: Final = (E.STORE_UNAVAILABLE,)
_PAGE: Final = (
    whole_parameter("limit", "How many, 100 if not given, 1000 at most.", minimum=1),
    whole_parameter("offset", "How many newer ones to pass over."),
)
_START: Final = (E.INVALID_INPUT, E.STORE_FULL, E.SHUTTING_DOWN, *_STORE)
_SEND: Final = (E.INVALID_BODY, E.BODY_TOO_LARGE, E.QUOTA_EXCEEDED, E.DISK_FULL, E.STORE_FULL, *_STORE)
_MESSAGES: Final = (
    "Frames `connection_established`, then `execution_started`, `step_update`, `log_entry`, `artifact_created`, "
    "`execution_completed` and `error`, of all executions until the first `subscribe`. A wrong key: close code 1008."
)


def _in_envelope(data: type[BaseModel]) -> Any:
    return create_model(f"{data.__name__}Answer", __base__=m.Answered, data=(data, ...))


def _answer(status: int, description: str, data: type[BaseModel]) -> tuple[Answer, ...]:
    return (Answer(status, description, _in_envelope(data)),)


def _socket(path: str) -> Operation:
    return Operation("GET", path, socket.follow_executions, "What happens to one's executions, live (WebSocket)",
                     Tag.MONITOR, (Answer(101, _MESSAGES),), guard=client_socket.refuse_plain_requests,
                     errors=(E.INVALID_PARAMETER, *_STORE), head=False,
                     parameters=(text_parameter("api_key", "The client's token, where one is needed."),))  # fmt: skip


SOCKETS: Final = (_socket("/"), _socket("/ws"))
"""What the separate listener serves."""

# fmt: off
OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation("GET", "/api/executions", executions.list_executions, "One's executions, newest first", Tag.MONITOR,
              _answer(200, "A page of executions.", m.Executions), Auth.MONITOR,
              parameters=(*_PAGE,
                          text_parameter("status", "Only `pending`, `running`, `completed`, `failed` or `cancelled`."),
                          text_parameter("user", "Only those of this tenant: one's own or none.")),
              errors=(E.INVALID_PARAMETER, *_STORE)),
    Operation("POST", "/api/executions", executions.create_execution, "Run a command", Tag.MONITOR,
              _answer(201, "It is stored and will run.", m.Created), Auth.MONITOR, body=m.CreateExecution,
              errors=_START),
    Operation("GET", "/api/executions/{execution_id}", executions.get_execution, "An execution", Tag.MONITOR,
              _answer(200, "With its steps and artifacts.", m.ExecutionDetails), Auth.MONITOR,
              errors=(E.JOB_NOT_FOUND, *_STORE)),
    Operation("DELETE", "/api/executions/{execution_id}", executions.delete_execution, "Delete an execution",
              Tag.MONITOR, _answer(200, "Nothing of it is left.", m.Said), Auth.MONITOR,
              errors=(E.JOB_NOT_FOUND, *_STORE)),

    Operation("GET", "/api/artifacts", artifacts.list_artifacts, "One's artifacts, newest first", Tag.MONITOR,
              _answer(200, "A page of artifacts.", m.Artifacts), Auth.MONITOR,
              parameters=(text_parameter("execution_id", "Only those of this execution."),
                          text_parameter("step_id", "Only those of this step."),
                          text_parameter("artifact_type",
                                         "Only `document`, `image`, `data`, `log`, `archive` or `other`."), *_PAGE),
              errors=(E.INVALID_PARAMETER, *_STORE)),
    Operation("POST", "/api/artifacts", artifacts.upload_artifact, "Add a file to an execution", Tag.MONITOR,
              _answer(201, "Kept, whole.", m.OneArtifact), Auth.MONITOR, takes_file=True,
              takes_form=True, form=m.ArtifactForm, errors=(E.JOB_NOT_FOUND, E.NOT_FOUND, *_SEND)),
    Operation("GET", "/api/artifacts/{artifact_id}", artifacts.get_artifact, "An artifact", Tag.MONITOR,
              _answer(200, "What is known of it.", m.OneArtifact), Auth.MONITOR, errors=(E.FILE_NOT_FOUND, *_STORE)),
    Operation("GET", "/api/artifacts/{artifact_id}/download", artifacts.download_artifact, "An artifact's bytes",
              Tag.MONITOR,
              (Answer(200, "The bytes, to be saved.", media_type="application/octet-stream", example=""),),
              Auth.MONITOR, errors=(E.FILE_NOT_FOUND, *_STORE)),
    Operation("DELETE", "/api/artifacts/{artifact_id}", artifacts.delete_artifact, "Delete an artifact", Tag.MONITOR,
              _answer(200, "It is gone.", m.Said), Auth.MONITOR, errors=(E.FILE_NOT_FOUND, *_STORE)),

    Operation("GET", "/api/health", health.health, "Whether the parts of the server work", Tag.MONITOR,
              (*_answer(200, "They do.", m.Health), *_answer(503, "One does not.", m.Health))),
    Operation("GET", "/api/health/status", health.status, "Load, store and clients", Tag.MONITOR,
              _answer(200, "As it is now.", m.Status), Auth.MONITOR),
    Operation("GET", "/api/health/metrics", health.metrics, "Figures of machine and store", Tag.MONITOR,
              _answer(200, "As they are now.", m.Metrics), Auth.MONITOR, errors=_STORE),
    Operation("GET", "/api/health/database", health.database, "What is kept for the caller", Tag.MONITOR,
              _answer(200, "Counts.", m.Database), Auth.MONITOR, errors=_STORE),
    Operation("POST", "/api/health/optimize", health.optimize, "Tidy up now", Tag.MONITOR,
              _answer(200, "What was done, and the figures after it.", m.Optimized), Auth.MONITOR,
              errors=(E.FILE_STORAGE_UNAVAILABLE, *_STORE)),
    SOCKETS[1],
)
# fmt: on
