"""The URLs of RGrid's document. Bodies and parameters that are well-formed but not valid are 422."""

from typing import Final

from muster.api.client_socket import refuse_plain_requests
from muster.api.operations import KIBIBYTE, Answer, Auth, Operation, Tag
from muster.api.parameters import text_parameter, whole_parameter
from muster.errors import ErrorCode as E
from muster.surfaces.executions import artifacts, batches, costs, executions, health, logs
from muster.surfaces.executions import models as m

_STORE: Final = (E.STORE_UNAVAILABLE,)
_JOB: Final = (E.JOB_NOT_FOUND, *_STORE)
_START: Final = (E.UNPROCESSABLE, E.STORE_FULL, E.SHUTTING_DOWN, *_STORE)
_FILE: Final = (E.FILE_NOT_FOUND, E.FILE_EXPIRED)
_BATCH: Final = (E.NOT_FOUND, *_STORE)
_LINE: Final = tuple(m.StreamLogLine.model_fields)

# fmt: off
OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation("GET", "/api/v1/health", health.get_executions_health, "Whether the store is reached", Tag.EXECUTIONS,
              (Answer(200, "The text says so.", m.ExecutionsHealth),)),

    Operation("POST", "/api/v1/executions", executions.make_execution, "Run a script", Tag.EXECUTIONS,
              (Answer(200, "Stored.", m.Execution),), Auth.CLIENT, body=m.CreateExecution, errors=_START,
              unprocessable=True),
    Operation("GET", "/api/v1/executions", executions.list_own_executions, "One's executions, newest first",
              Tag.EXECUTIONS, (Answer(200, "Without their output.", list[m.Execution]),), Auth.CLIENT,
              errors=(E.UNPROCESSABLE, *_STORE), unprocessable=True,
              parameters=(whole_parameter("limit", "50 if not given, 200 at most.", minimum=1),
                          text_parameter("status", "`queued`, `running`, `completed` or `failed`."),
                          text_parameter("metadata[key]", "Only those whose `user_metadata` has this value."))),
    Operation("GET", "/api/v1/executions/{execution_id}", executions.show_execution, "An execution", Tag.EXECUTIONS,
              (Answer(200, "As it is now, with its output.", m.Execution),), Auth.CLIENT, errors=_JOB,
              unprocessable=True),
    Operation("POST", "/api/v1/executions/{execution_id}/retry", executions.retry_execution, "Run it again",
              Tag.EXECUTIONS, (Answer(200, "The new execution.", m.Execution),), Auth.CLIENT,
              errors=(*_START, E.JOB_NOT_FOUND, *_FILE, E.QUOTA_EXCEEDED, E.DISK_FULL), unprocessable=True),
    Operation("GET", "/api/v1/executions/{execution_id}/artifacts", artifacts.list_execution_artifacts,
              "Its inputs and outputs", Tag.EXECUTIONS, (Answer(200, "All of them.", list[m.ExecutionArtifact]),),
              Auth.CLIENT, errors=_JOB, unprocessable=True),
    Operation("POST", "/api/v1/artifacts/download-url", artifacts.make_download_url, "A URL for a download",
              Tag.EXECUTIONS, (Answer(200, "It works for two hours, without any header.", m.DownloadUrl),),
              Auth.CLIENT, body=m.WantDownloadUrl, body_bytes_max=16 * KIBIBYTE,
              errors=(E.UNPROCESSABLE, *_FILE, *_STORE)),

    Operation("GET", "/api/v1/batches/{batch_id}/status", batches.get_batch_status, "How far a batch is",
              Tag.EXECUTIONS, (Answer(200, "A status for each member.", m.BatchStatus),), Auth.CLIENT, errors=_BATCH,
              unprocessable=True),
    Operation("GET", "/api/v1/batches/{batch_id}/executions", batches.list_batch_executions, "Its members",
              Tag.EXECUTIONS, (Answer(200, "In the order of their creation.", list[m.BatchMember]),), Auth.CLIENT,
              errors=_BATCH, unprocessable=True),

    Operation("GET", "/api/v1/cost", costs.get_cost, "What executions cost, by day", Tag.EXECUTIONS,
              (Answer(200, "Days with ended executions, newest first.", m.CostBreakdown),), Auth.CLIENT,
              errors=(E.UNPROCESSABLE, *_STORE), unprocessable=True,
              parameters=(text_parameter("since", "The first day, `YYYY-MM-DD`; seven days before `until`."),
                          text_parameter("until", "The last day; today, UTC."))),
    Operation("GET", "/api/v1/estimate", costs.get_estimate, "What a batch would cost", Tag.EXECUTIONS,
              (Answer(200, "A guess, and what it rests on.", m.CostEstimate),), Auth.CLIENT,
              errors=(E.UNPROCESSABLE, *_STORE), unprocessable=True,
              parameters=(text_parameter("runtime", "The server's first runtime, if not given."),
                          whole_parameter("files", "Executions, 1 if not given."))),

    Operation("GET", "/ws/executions/{execution_id}/logs", logs.follow_execution_log, "Its output, live (WebSocket)",
              Tag.EXECUTIONS,
              (Answer(101, "Frames `log`, at last `complete`. A wrong key: close code 1008; an unknown execution: "
                           "4404."),),
              guard=refuse_plain_requests, errors=(E.UNPROCESSABLE,), head=False, unprocessable=True,
              parameters=(text_parameter("cursor", "The last `sequence_number` that one has, -1 for none."),
                          text_parameter("api_key", "The client's token, where headers are not possible."))),
    Operation("POST", "/api/v1/executions/{execution_id}/logs/stream", logs.stream_log_line,
              "Add a line of output (runners)", Tag.EXECUTIONS, (Answer(200, "Kept.", m.LogLineTaken),),
              body=m.StreamLogLine, empty_body_is_none=True, guard=logs.let_runners_and_owners_in,
              errors=(E.UNAUTHENTICATED, E.FORBIDDEN, E.UNPROCESSABLE, E.JOB_FINAL, E.STORE_FULL, *_JOB),
              unprocessable=True,
              parameters=tuple(text_parameter(name, f"As `{name}` of the body.") for name in _LINE)),
)
