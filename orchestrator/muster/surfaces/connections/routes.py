"""The URLs of the Data Pipelines Agent's document. Without any client configured, all of them are 500."""

from typing import Final

from muster.api.operations import Answer, Auth, Operation, Tag
from muster.api.parameters import text_parameter, whole_parameter
from muster.errors import ErrorCode as E
from muster.surfaces.connections import definitions, history, runs, tasks
from muster.surfaces.connections import models as m

_ALL: Final = (E.NO_CLIENT_CONFIGURED, E.STORE_UNAVAILABLE)
_START: Final = (E.STORE_FULL, E.SHUTTING_DOWN, E.RUN_FAILED, *_ALL)
_ONE: Final = (E.CONNECTION_NOT_FOUND, *_START)
_TASK: Final = (E.JOB_NOT_FOUND, *_ALL)

# fmt: off
OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation("GET", "/connections", definitions.list_connections, "Connections", Tag.CONNECTIONS,
              (Answer(200, "All that the caller sees.", list[m.ConnectionEntry]),), Auth.CLIENT_OR_BROKEN,
              errors=_ALL),
    Operation("GET", "/pipelines", definitions.list_pipelines, "The same", Tag.CONNECTIONS,
              (Answer(200, "All, or the enabled ones.", list[m.ConnectionEntry]),), Auth.CLIENT_OR_BROKEN,
              errors=(E.UNPROCESSABLE, *_ALL), unprocessable=True,
              parameters=(text_parameter("only_enabled", "`true`: only those; `false` if not given."),)),
    Operation("POST", "/connections/{name}/run", runs.run, "Run a connection and wait", Tag.CONNECTIONS,
              (Answer(200, "It has ended, well or not.", m.RunResult),), Auth.CLIENT_OR_BROKEN,
              errors=(E.UNPROCESSABLE, *_ONE), unprocessable=True,
              parameters=(text_parameter("include_report", "`true`: with `report`; `false` if not given."),)),
    Operation("POST", "/connections/{name}/run_async", runs.run_async, "Run a connection in the background",
              Tag.CONNECTIONS, (Answer(200, "Started.", m.StartedOne),), Auth.CLIENT_OR_BROKEN, errors=_ONE),
    Operation("POST", "/run_selected", runs.run_selected, "Run all enabled connections, one after the other",
              Tag.CONNECTIONS, (Answer(200, "Started.", m.StartedBatch),), Auth.CLIENT_OR_BROKEN, errors=_START),
    Operation("POST", "/cancel_task/{task_id}", tasks.cancel_task, "Cancel a run or a batch", Tag.CONNECTIONS,
              (Answer(200, "On its way.", m.Told),), Auth.CLIENT_OR_BROKEN, errors=_TASK),
    Operation("GET", "/task_status/{task_id}", tasks.get_task_status, "How far a run or a batch is",
              Tag.CONNECTIONS, (Answer(200, "As it is now.", m.TaskStatus),), Auth.CLIENT_OR_BROKEN, errors=_TASK),
    Operation("GET", "/history", history.list_history, "Ended runs, newest first", Tag.CONNECTIONS,
              (Answer(200, "None where history is switched off.", list[m.HistoryEntry]),), Auth.CLIENT_OR_BROKEN,
              errors=(E.UNPROCESSABLE, *_ALL), unprocessable=True,
              parameters=(whole_parameter("limit", "10 if not given, 1000 at most.", minimum=1),)),
    Operation("GET", "/connections/{name}/status", definitions.get_status, "A connection's last run",
              Tag.CONNECTIONS, (Answer(200, "As it is now.", m.ConnectionStatus),), Auth.CLIENT_OR_BROKEN,
              errors=(E.CONNECTION_NOT_FOUND, *_ALL)),
)
# fmt: on
