"""Every URL of the server, in one table: it routes, checks, authenticates and describes (`/openapi.json`).

A blueprint's endpoint is the last row: `POST /api/v1/jobs/orders` starts a job of the blueprint served there.
The `/api/v1` rows also answer under every other version that a blueprint uses. Fixed rows win.
"""

from typing import Final

from muster_worker import event_wire, wire

from muster.api import (
    batches,
    client,
    client_socket,
    connections,
    costs,
    docs,
    events,
    files,
    health,
    live,
    log_socket,
    logs,
    public,
    socket,
    worker,
    worker_files,
)
from muster.api import connection_models as cm
from muster.api import models as m
from muster.api.operations import KIBIBYTE, Answer, Auth, Operation, Tag
from muster.api.parameters import seconds_parameter, text_parameter, whole_parameter
from muster.errors import ErrorCode as E

_STORE: Final = (E.STORE_UNAVAILABLE,)
_JOB: Final = (E.JOB_NOT_FOUND, *_STORE)
_BATCH: Final = (E.BATCH_NOT_FOUND, *_STORE)
_WORKER: Final = (E.WORKER_NOT_FOUND, *_STORE)
_DECISION: Final = (E.UNKNOWN_DECISION, E.NOT_WAITING_FOR_DECISION, *_JOB)
_START: Final = (
    E.INVALID_INPUT,
    E.INVALID_PARAMETER,
    E.WEBHOOK_URL_REFUSED,
    E.NOT_FOUND,
    E.IDEMPOTENCY_CONFLICT,
    E.STORE_FULL,
    E.SHUTTING_DOWN,
    *_STORE,
)
_CONNECTION: Final = (E.CONNECTION_NOT_FOUND, *_STORE)
_SAVE: Final = (E.CONNECTION_CONFIGURED, E.TOO_MANY_CONNECTIONS, E.STORE_FULL, *_STORE)
_FILE: Final = (E.FILE_NOT_FOUND, *_STORE)
_SEND: Final = (E.INVALID_BODY, E.BODY_TOO_LARGE, E.QUOTA_EXCEEDED, E.DISK_FULL, E.STORE_FULL, *_STORE)
_HOLD: Final = (E.TASK_NOT_FOUND, E.TASK_NOT_HELD)
_NAME: Final = text_parameter("name", "The file's name; reduced to one safe segment.")
_MEDIA_TYPE: Final = text_parameter("media_type", "Else taken from Content-Type, else from the name.")
_SIGNATURE: Final = (text_parameter("exp", "Part of the signed URL."), text_parameter("sig", "Part of the signed URL."))
_HOLDER: Final = (
    text_parameter("X-Task-Attempt", "The attempt that holds the task.", header=True),
    text_parameter("X-Task-Fence", "Its `fence`.", header=True),
)
_BYTES: Final = Answer(200, "The bytes, with `Repr-Digest`.", media_type="application/octet-stream", example="")
_AN_EVENT: Final = 'id: 1\ndata: {"type":"log","job_id":"018f…","line":{"seq":1,"text":"hello"},"step_index":0}\n\n'
_NEXT: Final = whole_parameter("next", "Take up to so many new tasks along; never waits for any.")
_FORMAT: Final = text_parameter("format", "`dot` (default), `mermaid` or `json`.")

# fmt: off
OPERATIONS: Final[tuple[Operation, ...]] = (
    # ---- public: no credentials
    Operation("GET", "/_public/status", public.status, "Whether the process answers", Tag.PUBLIC,
              (Answer(200, "It does.", m.StatusOk, example={"status": "ok"}),)),
    Operation("GET", "/_public/metrics", public.metrics, "Metrics for Prometheus", Tag.PUBLIC,
              (Answer(200, "Counters of this process, counts of the fleet.", media_type="text/plain",
                      example="# TYPE muster_jobs_total counter\n"),)),
    Operation("POST", "/_public/webhooks/approval/{job_id}", public.approve, "Answer a job's question", Tag.PUBLIC,
              (Answer(200, "Taken.", m.ApprovalReceived),), body=m.Approve, body_bytes_max=16 * KIBIBYTE,
              parameters=(text_parameter("token", "One-time approval token, where a header is not possible."),
                          text_parameter("X-Approval-Token", "One-time approval token.", header=True)),
              guard=public.refuse_other_sites, errors=(E.FORBIDDEN, *_DECISION)),
    Operation("POST", "/_public/debug/flush_db", public.flush_db, "Delete everything (development only)", Tag.PUBLIC,
              (Answer(200, "All of this deployment's data is gone.", m.Flushed),),
              guard=public.refuse_far_callers, errors=(E.FORBIDDEN, *_STORE), development_only=True),
    Operation("GET", "/_public/docs", docs.docs_page, "This reference, interactive", Tag.PUBLIC,
              (Answer(200, "A page that loads nothing from elsewhere.", media_type="text/html",
                      example="<!doctype html>"),)),
    Operation("GET", "/_public/docs/{file}", docs.docs_file, "A file of the page", Tag.PUBLIC,
              (Answer(200, "The file."),), errors=(E.NOT_FOUND,), hidden=True),
    *(Operation("GET", path, docs.docs_page, "This reference, interactive", Tag.PUBLIC,
                (Answer(200, "The same page."),), hidden=True) for path in ("/docs", "/redoc")),
    Operation("GET", "/docs/{file}", docs.docs_file, "A file of the page", Tag.PUBLIC,
              (Answer(200, "The file."),), errors=(E.NOT_FOUND,), hidden=True),
    Operation("GET", "/openapi.json", docs.openapi_json, "This reference, for machines", Tag.PUBLIC,
              (Answer(200, "OpenAPI 3.1.", dict),)),

    # ---- probes
    Operation("GET", "/livez", health.livez, "The process is alive", Tag.HEALTH,
              (Answer(200, "It is.", m.StatusOk),)),
    Operation("GET", "/readyz", health.readyz, "The server may be sent requests", Tag.HEALTH,
              (Answer(200, "It may.", m.StatusOk),), errors=_STORE),
    Operation("GET", "/healthz", health.healthz, "Alive, ready, and which version", Tag.HEALTH,
              (Answer(200, "Ready.", m.Health), Answer(503, "Not ready.", m.Health))),

    # ---- clients: X-Client-Token, X-API-Key or Authorization: Bearer
    Operation("GET", "/api/v1/jobs", client.list_jobs, "One's jobs, newest first", Tag.JOBS,
              (Answer(200, "A page of jobs.", m.Jobs),), Auth.CLIENT, errors=(E.INVALID_PARAMETER, *_STORE),
              parameters=(whole_parameter("limit", "Jobs per page, 50 if not given, 200 at most.", minimum=1),
                          text_parameter("cursor", "`next` of the page before."),
                          text_parameter("status", "Only these statuses, separated by commas."),
                          text_parameter("blueprint", "Only jobs of this blueprint."),
                          text_parameter("tag", "Only jobs of this tag, newest created first; by itself."))),
    Operation("GET", "/api/v1/jobs/{job_id}", client.get_job, "A job", Tag.JOBS,
              (Answer(200, "The job as it is now.", m.Job),), Auth.CLIENT, errors=(E.INVALID_PARAMETER, *_JOB),
              parameters=(seconds_parameter("wait",
                                            "Answer once the job has ended, after so many seconds (60) at the latest."),
                          whole_parameter("since", "With `wait`: answer already when `version` is greater.")),
              open_to_blueprints=True),
    Operation("DELETE", "/api/v1/jobs/{job_id}", client.delete_job, "Delete a job", Tag.JOBS,
              (Answer(204, "Gone: the job, its logs, steps, history and artifacts."),), Auth.CLIENT, errors=_JOB),
    Operation("POST", "/api/v1/jobs/{job_id}/cancel", client.cancel_job, "Cancel a job", Tag.JOBS,
              (Answer(200, "On its way.", m.CancelAnswer),), Auth.CLIENT, errors=(E.JOB_FINAL, *_JOB)),
    Operation("POST", "/api/v1/jobs/{job_id}/decision", client.decide, "Answer one's job's question", Tag.JOBS,
              (Answer(200, "Taken.", m.ApprovalReceived),), Auth.CLIENT, body=m.Decide,
              body_bytes_max=16 * KIBIBYTE, errors=_DECISION),
    Operation("POST", "/api/v1/jobs/{job_id}/signals/{name}", client.send_signal, "Give one's job a signal", Tag.JOBS,
              (Answer(200, "Taken, or kept until the job waits for it.", m.SignalReceived),), Auth.CLIENT,
              body=m.SignalData, body_bytes_max=64 * KIBIBYTE,
              errors=(E.INVALID_PARAMETER, E.JOB_FINAL, E.SIGNALS_FULL, E.STORE_FULL, *_JOB)),
    Operation("GET", "/api/v1/jobs/{job_id}/history", client.get_history, "A job's events, oldest first", Tag.JOBS,
              (Answer(200, "Events; none where history is switched off.", list[m.Event]),), Auth.CLIENT, errors=_JOB),
    Operation("GET", "/api/v1/jobs/{job_id}/logs", logs.get_logs, "What a job's tasks printed", Tag.JOBS,
              (Answer(200, "A page of lines; with `follow` server-sent events, until one of the type `end`.",
                      m.LogLines),), Auth.CLIENT, errors=(E.INVALID_PARAMETER, *_JOB), head=False,
              parameters=(whole_parameter("after", "Lines after the one of this `seq`."),
                          whole_parameter("limit", "Lines per page, 1000 if not given, 5000 at most.", minimum=1),
                          text_parameter("stream", "Only `stdout` or `stderr`."),
                          text_parameter("follow", "Stream lines as they come. Also: `Accept: text/event-stream`."),
                          text_parameter("Last-Event-ID", "With `follow`: as `after`, and wins.", header=True))),
    Operation("GET", "/api/v1/jobs/{job_id}/logs/socket", log_socket.follow_log, "The same, live (WebSocket)", Tag.JOBS,
              (Answer(101, "Frames `lines` with `items`, `dropped`, and at last `end` with the job's `status`. "
                           "A wrong key: close code 1008."),),
              guard=client_socket.refuse_plain_requests, errors=(E.INVALID_PARAMETER, *_JOB), head=False,
              parameters=(whole_parameter("after", "Lines after the one of this `seq`."),
                          text_parameter("stream", "Only `stdout` or `stderr`."),
                          text_parameter("api_key", "The client's token, where headers are not possible."))),
    Operation("GET", "/api/v1/jobs/{job_id}/events", live.job_events, "All that happens to a job, live", Tag.JOBS,
              (Answer(200, "Server-sent events: its state, steps, lines and artifacts in order, at last `end`.",
                      media_type="text/event-stream", example=_AN_EVENT),), Auth.CLIENT,
              errors=(E.INVALID_PARAMETER, *_JOB), head=False,
              parameters=(whole_parameter("after", "Lines after the one of this `seq`."),
                          text_parameter("Last-Event-ID", "As `after`, and wins.", header=True))),
    Operation("GET", "/api/v1/jobs/{job_id}/events/socket", live.job_events_socket, "The same (WebSocket)", Tag.JOBS,
              (Answer(101, "A frame for each event. A wrong key: close code 1008."),),
              guard=client_socket.refuse_plain_requests, errors=(E.INVALID_PARAMETER, *_JOB), head=False,
              parameters=(whole_parameter("after", "Lines after the one of this `seq`."),
                          text_parameter("api_key", "The client's token, where headers are not possible."))),
    Operation("GET", "/api/v1/events", live.events, "All that happens to one's jobs, live", Tag.JOBS,
              (Answer(200, "Server-sent events of all jobs from now on, also of those made later.",
                      media_type="text/event-stream", example=_AN_EVENT),), Auth.CLIENT,
              errors=(E.INVALID_PARAMETER, *_STORE), head=False,
              parameters=(whole_parameter("since", "First the state of jobs that changed since (ms since 1970)."),
                          text_parameter("Last-Event-ID", "As `since`, and wins.", header=True))),
    Operation("GET", "/api/v1/events/socket", live.events_socket, "The same (WebSocket)", Tag.JOBS,
              (Answer(101, "A frame for each event; `place` says where to go on. A wrong key: close code 1008."),),
              guard=client_socket.refuse_plain_requests, errors=(E.INVALID_PARAMETER, *_STORE), head=False,
              parameters=(whole_parameter("since", "First the state of jobs that changed since (ms since 1970)."),
                          text_parameter("api_key", "The client's token, where headers are not possible."))),
    Operation("GET", "/api/v1/jobs/{job_id}/steps", logs.get_steps, "The steps of a job's tasks", Tag.JOBS,
              (Answer(200, "Steps of the newest attempts, and the job's metadata.", m.JobSteps),), Auth.CLIENT,
              errors=_JOB),
    Operation("POST", "/api/v1/batches", batches.start_batch, "Start many jobs", Tag.BATCHES,
              (Answer(201, "All are stored and started.", m.BatchStarted),), Auth.CLIENT, body=m.StartBatch,
              errors=(E.BLUEPRINT_NOT_FOUND, E.INVALID_INPUT, E.IDEMPOTENCY_CONFLICT, E.STORE_FULL, E.SHUTTING_DOWN,
                      *_STORE)),
    Operation("GET", "/api/v1/batches/{batch_id}", batches.get_batch, "Where a batch stands", Tag.BATCHES,
              (Answer(200, "Its jobs, oldest first; those that have expired are not counted.", m.BatchState),),
              Auth.CLIENT, errors=_BATCH),
    Operation("POST", "/api/v1/batches/{batch_id}/cancel", batches.cancel_batch, "Cancel a batch", Tag.BATCHES,
              (Answer(200, "On its way.", m.BatchCancelled),), Auth.CLIENT, errors=_BATCH),
    Operation("GET", "/api/v1/blueprints", client.list_blueprints, "What can be started", Tag.BLUEPRINTS,
              (Answer(200, "All blueprints of this server.", m.Blueprints),), Auth.CLIENT),
    Operation("GET", "/api/v1/blueprints/{blueprint_name}/graph", client.get_graph, "A blueprint's graph",
              Tag.BLUEPRINTS, (Answer(200, "States and transitions.", media_type="text/vnd.graphviz",
                                      example='digraph "orders" {}\n'),),
              Auth.CLIENT, parameters=(_FORMAT,), errors=(E.BLUEPRINT_NOT_FOUND, E.INVALID_PARAMETER)),
    Operation("GET", "/api/v1/webhooks/secret", client.get_webhook_secret, "The secret of one's webhooks", Tag.JOBS,
              (Answer(200, "Verify the `webhook-signature` of deliveries with it.", m.WebhookSecret,
                      example={"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}),), Auth.CLIENT),
    Operation("GET", "/api/v1/cost/days", costs.get_cost_days, "What one's jobs cost, by day", Tag.COST,
              (Answer(200, "Newest day first; only jobs that are over.", m.CostDays),), Auth.CLIENT,
              errors=(E.INVALID_PARAMETER, *_STORE),
              parameters=(text_parameter("since", "First day of creation, `YYYY-MM-DD` in UTC; a week before `until`."),
                          text_parameter("until", "Last day, today if not given; at most 400 days."))),
    Operation("GET", "/api/v1/workers", client.list_workers, "Workers that are there", Tag.FLEET,
              (Answer(200, "All active workers.", list[m.Worker]),), Auth.CLIENT, errors=_STORE),
    Operation("GET", "/api/v1/dashboard", client.get_dashboard, "Counts of the fleet", Tag.FLEET,
              (Answer(200, "Counts, no names.", m.DashboardAnswer),), Auth.CLIENT, errors=_STORE),

    # ---- connections
    Operation("GET", "/api/v1/connections", connections.list_connections, "Connections, by their definitions",
              Tag.CONNECTIONS, (Answer(200, "All that the caller sees.", cm.Connections),), Auth.CLIENT, errors=_STORE),
    Operation("POST", "/api/v1/connections", connections.create_connection, "Save a connection", Tag.CONNECTIONS,
              (Answer(201, "Saved.", cm.SavedConnection),), Auth.CLIENT, body=cm.SaveConnection,
              body_bytes_max=256 * KIBIBYTE, errors=(E.CONNECTION_EXISTS, *_SAVE)),
    Operation("GET", "/api/v1/connections/{name}", connections.get_connection, "A connection", Tag.CONNECTIONS,
              (Answer(200, "As it is now.", cm.SavedConnection),), Auth.CLIENT, errors=_CONNECTION),
    Operation("PUT", "/api/v1/connections/{name}", connections.put_connection, "Save or replace a connection",
              Tag.CONNECTIONS, (Answer(200, "Saved.", cm.SavedConnection),), Auth.CLIENT, body=cm.SaveConnection,
              body_bytes_max=256 * KIBIBYTE, errors=_SAVE),
    Operation("DELETE", "/api/v1/connections/{name}", connections.delete_connection, "Forget a connection",
              Tag.CONNECTIONS, (Answer(204, "Gone."),), Auth.CLIENT, errors=(E.CONNECTION_CONFIGURED, *_CONNECTION)),
    Operation("POST", "/api/v1/connections/{name}/run", connections.start_connection, "Start a run of it",
              Tag.CONNECTIONS, (Answer(202, "The run is a job.", cm.StartedRun),), Auth.CLIENT,
              errors=(E.INVALID_PARAMETER, E.IDEMPOTENCY_CONFLICT, E.RUN_FAILED, E.STORE_FULL, E.SHUTTING_DOWN,
                      *_CONNECTION),
              parameters=(text_parameter("Idempotency-Key", "The same key makes the same run, for a day.",
                                         header=True),)),

    # ---- files
    Operation("POST", "/api/v1/files", files.upload_file, "Upload a file", Tag.FILES,
              (Answer(201, "Kept.", m.UploadedFile),), Auth.CLIENT, takes_file=True, errors=_SEND,
              parameters=(_NAME, _MEDIA_TYPE)),
    Operation("POST", "/api/v1/files/signed-upload", files.plan_upload, "A URL for somebody's upload", Tag.FILES,
              (Answer(201, "The URL.", m.SignedUpload),), Auth.CLIENT, body=m.PlanUpload,
              body_bytes_max=16 * KIBIBYTE, errors=(E.STORE_FULL, *_STORE)),
    Operation("GET", "/api/v1/files/{file_id}", files.download_file, "Download a file", Tag.FILES,
              (_BYTES,), Auth.CLIENT, errors=_FILE),
    Operation("DELETE", "/api/v1/files/{file_id}", files.delete_file, "Delete a file", Tag.FILES,
              (Answer(204, "Gone."),), Auth.CLIENT, errors=_FILE),
    Operation("POST", "/api/v1/files/{file_id}/signed-url", files.sign_download, "A URL for a download", Tag.FILES,
              (Answer(200, "The URL.", m.SignedDownload),), Auth.CLIENT, errors=_FILE),
    Operation("POST", "/api/v1/artifacts/{artifact_id}/signed-url", files.sign_artifact,
              "A URL for an artifact's download", Tag.FILES,
              (Answer(200, "The URL.", m.SignedDownload),), Auth.CLIENT, errors=_FILE),
    Operation("GET", "/api/v1/jobs/{job_id}/artifacts", files.list_artifacts, "What a job's tasks kept", Tag.FILES,
              (Answer(200, "Artifacts, oldest first.", m.Artifacts),), Auth.CLIENT, errors=_JOB),
    Operation("GET", "/api/v1/jobs/{job_id}/artifacts.zip", files.download_zip, "All of it as a zip", Tag.FILES,
              (Answer(200, "The zip.", media_type="application/zip", example=""),), Auth.CLIENT, errors=_JOB),
    Operation("GET", "/api/v1/jobs/{job_id}/artifacts/{artifact_id}", files.download_artifact,
              "Download an artifact", Tag.FILES, (_BYTES,), Auth.CLIENT, errors=(E.JOB_NOT_FOUND, *_FILE)),
    Operation("DELETE", "/api/v1/jobs/{job_id}/artifacts/{artifact_id}", files.delete_artifact,
              "Delete an artifact", Tag.FILES, (Answer(204, "Gone."),), Auth.CLIENT,
              errors=(E.JOB_NOT_FOUND, *_FILE)),
    Operation("PUT", "/_files/{file_id}", files.receive_signed, "Send a file by its signed URL", Tag.FILES,
              (Answer(200, "Kept.", m.UploadedFile),), takes_file=True, parameters=_SIGNATURE,
              guard=files.refuse_unsigned, errors=(E.SIGNATURE_REFUSED, *_SEND)),
    Operation("GET", "/_files/{file_id}", files.send_signed, "Fetch a file by its signed URL", Tag.FILES,
              (_BYTES,), parameters=_SIGNATURE, guard=files.refuse_unsigned, errors=(E.SIGNATURE_REFUSED, *_FILE)),

    # ---- workers: X-Worker-Token
    Operation("POST", "/_worker/workers/register", worker.register, "Join the fleet", Tag.WORKERS,
              (Answer(200, "Joined. The members after `status` only for `protocol: 1`.", wire.Registered),),
              Auth.WORKER, body=wire.Registration, body_bytes_max=256 * KIBIBYTE, errors=_STORE),
    Operation("PATCH", "/_worker/workers/{worker_id}", worker.heartbeat, "Stay in the fleet", Tag.WORKERS,
              (Answer(200, "The worker's state; only `status`: `ttl_refreshed` for an empty body.", m.HeartbeatState),),
              Auth.WORKER, body=wire.Heartbeat, body_bytes_max=256 * KIBIBYTE, empty_body_is_none=True, errors=_WORKER),
    Operation("GET", "/_worker/workers/{worker_id}/tasks/next", worker.next_tasks, "Wait for a task", Tag.WORKERS,
              (Answer(200, "A task; `{\"tasks\": […]}` where `max` was given.", wire.LeasedTask),
               Answer(204, "Nothing came up in time.")),
              Auth.WORKER, errors=(E.INVALID_PARAMETER, *_WORKER), head=False,
              parameters=(seconds_parameter("timeout", "How long to wait; the server's maximum if not given."),
                          whole_parameter("max", "Up to so many tasks at once, 64 at most.", minimum=1))),
    Operation("POST", "/_worker/tasks/result", worker.report_result, "Hand in a result", Tag.WORKERS,
              (Answer(200, "Taken, or ignored with the reason.", m.ReceiptWithTasks),),
              Auth.WORKER, body=m.ResultMessage, parameters=(_NEXT,),
              errors=(E.INVALID_PARAMETER, E.JOB_NOT_FOUND, E.TASK_NOT_FOUND, *_STORE)),
    Operation("POST", "/_worker/tasks/results", worker.report_results, "Hand in several results", Tag.WORKERS,
              (Answer(200, "A receipt for each.", wire.Receipts),),
              Auth.WORKER, body=m.ResultsMessage, parameters=(_NEXT,), errors=(E.INVALID_PARAMETER, *_STORE)),
    Operation("POST", "/_worker/tasks/{task_id}/events", events.take_events, "Tell what a running task does",
              Tag.WORKERS, (Answer(200, "Taken up to `accepted_to`; or `ignored`.", event_wire.EventsAnswer),),
              Auth.WORKER, body=event_wire.TaskEventsMessage, body_bytes_max=event_wire.BODY_BYTES_MAX,
              errors=(E.JOB_NOT_FOUND, E.TASK_NOT_FOUND, *_STORE)),
    Operation("PUT", "/_worker/tasks/{task_id}/artifacts", worker_files.put_artifact, "Keep a file of a task",
              Tag.WORKERS, (Answer(200, "Kept.", m.Artifact),), Auth.WORKER, takes_file=True,
              parameters=(_NAME, _MEDIA_TYPE, text_parameter("step", "The step that made it."),
                          text_parameter("description", "What it is, for people."), *_HOLDER),
              errors=(*_HOLD, *_SEND)),
    Operation("GET", "/_worker/files/{file_id}", worker_files.get_input, "A file that a task was given", Tag.WORKERS,
              (_BYTES,), Auth.WORKER, errors=(*_HOLD, *_FILE),
              parameters=(text_parameter("X-Task-Id", "The task whose input names the file.", header=True), *_HOLDER)),
    Operation("GET", "/_worker/ws/{worker_id}", socket.worker_socket, "Commands, live (WebSocket)", Tag.WORKERS,
              (Answer(101, "Commands such as `cancel_task` and granted tasks come; `progress` and `credit` go."),),
              Auth.WORKER, guard=socket.refuse_pages_and_plain_requests, errors=(E.INVALID_PARAMETER, *_WORKER),
              head=False),

    # ---- blueprints: one URL each
    Operation("POST", "/api/{api_version}/{endpoint…}", client.create_job, "Start a job", Tag.JOBS,
              (Answer(202, "Stored and started.", m.JobAccepted),
               Answer(200, "Ended in time (`Prefer: wait=`).", m.Job)),
              Auth.CLIENT, body=m.CreateJob, guard=client.known_endpoint, errors=_START,
              parameters=(text_parameter("Idempotency-Key", "One key starts one job, however often sent.", header=True),
                          text_parameter("Prefer", "`wait=SECONDS`: answer with the ended job.", header=True))),
)
# fmt: on
