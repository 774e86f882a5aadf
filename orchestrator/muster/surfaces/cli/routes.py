"""The URLs of this surface."""

from typing import Final

from muster.api.client_socket import refuse_plain_requests
from muster.api.operations import Answer, Auth, Operation, Tag
from muster.api.parameters import text_parameter
from muster.errors import ErrorCode as E
from muster.surfaces.cli import artifacts, catalog, job, live, page, probes, run, upload
from muster.surfaces.cli import models as m

_STORE: Final = (E.STORE_UNAVAILABLE,)
_JOB: Final = (E.JOB_NOT_FOUND, *_STORE)
_SEND: Final = (E.UNPROCESSABLE, E.BODY_TOO_LARGE, E.QUOTA_EXCEEDED, E.DISK_FULL, E.STORE_FULL, *_STORE)
_KEY: Final = text_parameter("api_key", "The client's token, where headers are not possible.")

# fmt: off
OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation("GET", "/cli/commands", catalog.cli_commands, "What can be run", Tag.CLI,
              (Answer(200, "Stages, their commands, and the arguments of each.", dict[str, m.StageAnswer]),),
              Auth.CLIENT_IF_ANY),
    Operation("GET", "/cli/examples", catalog.cli_examples, "Bodies to try", Tag.CLI,
              (Answer(200, "Chosen bodies of `POST /cli/run`.", m.Examples),), Auth.CLIENT_IF_ANY),
    Operation("POST", "/cli/run", run.cli_run, "Run a command", Tag.CLI,
              (Answer(200, "Ended (`sync`), or accepted (`async`).", m.RunAnswer),), Auth.CLIENT_IF_ANY,
              body=m.RunCommand, unprocessable=True,
              errors=(E.UNKNOWN_COMMAND, E.UNPROCESSABLE, E.FILE_NOT_FOUND, E.STILL_RUNNING, E.STORE_FULL,
                      E.SHUTTING_DOWN, *_STORE)),
    Operation("GET", "/examples", page.examples_page, "Try it in a browser", Tag.CLI,
              (Answer(200, "A page that loads nothing from elsewhere.", media_type="text/html",
                      example="<!doctype html>"),), parameters=(_KEY,), guard=page.refuse_without_key,
              errors=(E.UNAUTHENTICATED,)),
    Operation("GET", "/examples/{file}", page.examples_file, "A file of the page", Tag.CLI,
              (Answer(200, "The file."),), errors=(E.NOT_FOUND,), hidden=True),
    Operation("POST", "/upload", upload.cli_upload, "Upload a file", Tag.FILES,
              (Answer(200, "Kept.", m.CliUpload),), Auth.CLIENT_IF_ANY, takes_file=True, takes_form=True,
              errors=(E.INVALID_BODY, *_SEND)),
    Operation("GET", "/jobs/{job_id}", job.cli_job, "A job, and what it printed", Tag.JOBS,
              (Answer(200, "The job as it is now.", m.CliJob),), Auth.CLIENT_IF_ANY, errors=_JOB),
    Operation("DELETE", "/jobs/{job_id}", job.cli_cancel, "Cancel a queued job", Tag.JOBS,
              (Answer(200, "It will not run.", m.Canceled),), Auth.CLIENT_IF_ANY,
              errors=(E.JOB_FINAL, E.JOB_RUNNING, *_JOB)),
    Operation("GET", "/jobs/{job_id}/manifest", artifacts.cli_manifest, "What a job left", Tag.JOBS,
              (Answer(200, "Its files, by name.", list[m.ManifestEntry]),), Auth.CLIENT_IF_ANY, errors=_JOB),
    Operation("GET", "/jobs/{job_id}/download", artifacts.cli_download, "Download what a job left", Tag.JOBS,
              (Answer(200, "The bytes.", media_type="application/octet-stream", example=""),), Auth.CLIENT_IF_ANY,
              parameters=(text_parameter("file", "The file of this name; the main one if not given."),
                          text_parameter("zip", "`1`: all files as a zip.")),
              errors=(E.INVALID_PARAMETER, E.FILE_NOT_FOUND, E.FILE_EXPIRED, *_JOB)),
    Operation("GET", "/ws/jobs/{id}", live.cli_socket, "A job, live (WebSocket)", Tag.WS,
              (Answer(101, "Frames with `stdout`, `stderr` and `progress`; at last the job as it ended. "
                           "A wrong key: close code 1008; an unknown job: 4404."),),
              guard=refuse_plain_requests, errors=(E.INVALID_PARAMETER, *_STORE), head=False,
              parameters=(_KEY, text_parameter("stream", "Any of `stdout,stderr,progress`; all if not given."))),
    Operation("GET", "/health", probes.cli_health, "Whether the server answers", Tag.SYSTEM,
              (Answer(200, "It does.", m.CliHealth),)),
    Operation("GET", "/ready", probes.cli_ready, "Whether the server can work", Tag.SYSTEM,
              (Answer(200, "It can.", m.CliReady), Answer(503, "It cannot: `checks` says why.", m.CliReady))),
)
# fmt: on
