"""A client of the orchestrator: start jobs, watch them, answer their questions."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic_core import to_jsonable_python

from muster_worker.answers import read_answer
from muster_worker.approvals import ApprovalCalls
from muster_worker.backoff import Backoff
from muster_worker.batch_client import BatchCalls
from muster_worker.client_blueprints import BlueprintCalls
from muster_worker.client_fleet import FleetCalls
from muster_worker.codec import encode
from muster_worker.durations import Duration
from muster_worker.errors import Unreachable
from muster_worker.event_wire import StreamName
from muster_worker.file_transfer import fetch_file, send_file
from muster_worker.files import Artifact, UploadedFile
from muster_worker.job_operations import JobOperations, Paused, filter_query
from muster_worker.limit_client import LimitCalls
from muster_worker.live_stream import follow_events
from muster_worker.log_stream import JobStep, JobSteps, LogLine, LogPage, follow
from muster_worker.reasons import TaskDemand, Wanted, Why
from muster_worker.schedule_client import ScheduleCalls
from muster_worker.settings import addresses, token_from
from muster_worker.time_limits import deadline_ms_of
from muster_worker.transport import Answer, Transport
from muster_worker.waiting import WAIT_S_MAX, end_of, next_wait_s

OUTAGE_S_MAX: Final = 60.0
"""How long waiting for a job outlasts orchestrators that do not answer."""
DELETE_S_MAX: Final = 90.0
"""An active job is cancelled first, and its worker has some time for that."""
BATCH_S_MAX: Final = 60.0
"""A thousand jobs are started one after another."""
ANSWER_MARGIN_S: Final = 10.0
FINAL_STATUSES: Final = frozenset({"finished", "failed", "cancelled", "quarantined"})


class WaitingFor(BaseModel):
    """What a job needs to go on, for example a person's decision."""

    model_config = ConfigDict(extra="allow")

    kind: str
    message: str = ""
    decisions: list[str] = []
    deadline_at: datetime | None = None
    approval_token: str | None = None
    child_id: str | None = None
    signal: str | None = None


class JobState(BaseModel):
    """A job as the orchestrator shows it. Members this version does not know are kept."""

    model_config = ConfigDict(extra="allow")

    id: str
    blueprint_name: str
    status: str
    current_state: str | None = None
    initial_data: Any = None
    state_history: dict[str, Any] = {}
    result: Any = None
    error_message: str | None = None
    error_details: dict[str, Any] | None = None
    progress: float | None = None
    progress_message: str | None = None
    waiting_for: WaitingFor | None = None
    paused: Paused | None = None
    error_fingerprint: str | None = None
    retried_from: str | None = None
    retried_as: list[str] = []
    cancel_requested: bool = False
    retry_count: int = 0
    version: int = 0
    webhook_url: str | None = None
    current_task_id: str | None = None
    task_worker_id: str | None = None
    batch_id: str | None = None
    tags: list[str] = []
    parent_id: str | None = None
    cost_micros: int = 0
    deadline_at: datetime | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        """Finished, failed, cancelled or quarantined: nothing will change any more."""
        return self.status in FINAL_STATUSES

    @property
    def succeeded(self) -> bool:
        return self.status == "finished"


class CostOfDay(BaseModel):
    """Jobs of one meter that were created on the day and are over. A million micros are 1 EUR."""

    model_config = ConfigDict(extra="allow")

    date: date
    meter: str
    jobs: int
    run_ms: int
    cost_micros: int


class CostDays(BaseModel):
    """Newest day first."""

    days: list[CostOfDay]
    total_cost_micros: int


class BatchMember(BaseModel):
    job_id: str
    status: str


class BatchState(BaseModel):
    """Where a batch stands; its jobs in the order of their creation."""

    model_config = ConfigDict(extra="allow")

    batch_id: str
    total: int
    counts: dict[str, int]
    cost_micros: int
    jobs: list[BatchMember]

    @property
    def is_final(self) -> bool:
        """All jobs are over."""
        return all(status in FINAL_STATUSES for status in self.counts)

    @property
    def is_over(self) -> bool:
        """Nothing will happen to it any more: all jobs are over, and of a stream all lines have come."""
        return self.is_final and getattr(self, "state", None) in {None, "finished"}


class StartedBatch(BaseModel):
    batch_id: str
    jobs: list[str]


class LiveEvent(BaseModel):
    """Something that happened to a job. By its `type` one of `job`, `step`, `line` and `artifact` is there.

    `job`: its state changed; its input and `state_history` are left out. `step`, `artifact`. `log`: a line, and the
    index of the step of its task that was open. `end`: the last one of each job, with the job.
    """

    model_config = ConfigDict(extra="allow")

    type: str
    job_id: str
    job: JobState | None = None
    step: JobStep | None = None
    line: LogLine | None = None
    step_index: int | None = None
    artifact: Artifact | None = None


class JobList(BaseModel):
    """One page of jobs. `next` is the cursor of the page after it, None on the last."""

    items: list[JobState]
    next: str | None = None


_OBJECTS: Final = TypeAdapter(list[dict[str, Any]])
_OBJECT: Final = TypeAdapter(dict[str, Any])
_JOB: Final = TypeAdapter(JobState)
_JOBS: Final = TypeAdapter(JobList)
_BATCH: Final = TypeAdapter(BatchState)
_STARTED_BATCH: Final = TypeAdapter(StartedBatch)
_COST_DAYS: Final = TypeAdapter(CostDays)


_LOG: Final = TypeAdapter(LogPage)
_STEPS: Final = TypeAdapter(JobSteps)
_WHY: Final = TypeAdapter(Why)
_WANTED: Final = TypeAdapter(Wanted)


class SignedUpload(BaseModel):
    """Where somebody may send one file, and the id it will have."""

    file_id: str
    upload_url: str
    expires_at: datetime


class _Download(BaseModel):
    download_url: str


class _Artifacts(BaseModel):
    items: list[Artifact]


_UPLOADED: Final = TypeAdapter(UploadedFile)
_ARTIFACTS: Final = TypeAdapter(_Artifacts)
_SIGNED: Final = TypeAdapter(SignedUpload)
_DOWNLOAD: Final = TypeAdapter(_Download)


class _Started(BaseModel):
    job_id: str


class _CancelledBatch(BaseModel):
    cancelling: int


class _Status(BaseModel):
    status: str


class _Items(BaseModel):
    items: list[dict[str, Any]]


_STARTED: Final = TypeAdapter(_Started)
_CANCELLED_BATCH: Final = TypeAdapter(_CancelledBatch)
_STATUS: Final = TypeAdapter(_Status)
_ITEMS: Final = TypeAdapter(_Items)


class Client(ApprovalCalls, BatchCalls, BlueprintCalls, FleetCalls, JobOperations[JobState], ScheduleCalls, LimitCalls):
    """Use it with `async with`. All methods raise ClientError or one of its subclasses.

    Args:
        url: one orchestrator or several (default MUSTER_URL, comma separated, else http://127.0.0.1:8080).
        token: default MUSTER_CLIENT_TOKEN, or the file named by MUSTER_CLIENT_TOKEN_FILE.
    """

    def __init__(self, url: str | Sequence[str] | None = None, token: str | None = None) -> None:
        JobOperations.__init__(self, _JOB)
        headers = {
            "X-Client-Token": token_from(token, "MUSTER_CLIENT_TOKEN"),
            "Content-Type": "application/json",
        }
        self._transport = Transport(addresses(url), headers)

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    async def start(
        self,
        blueprint: str,
        input: object = None,  # noqa: A002 - the word of the docs
        *,
        webhook_url: str | None = None,
        idempotency_key: str | None = None,
        tags: Sequence[str] = (),
        unique: Mapping[str, Any] | None = None,
        debounce: Mapping[str, Any] | None = None,
        deadline: Duration | None = None,
    ) -> str:
        """Start a job and return its id.

        Args:
            blueprint: a name, or with a slash the endpoint below /api/v1.
            input: a model, dataclass or dict; it becomes the job's initial data.
            webhook_url: told when the job ends.
            idempotency_key: the same key with the same input returns the same job.
            tags: words by which the job can be found, 8 at most.
            unique: `key`, and `while`, `on_conflict`: one live job at most has the key.
            debounce: `key`, `seconds`, and `max_seconds`: a later submit puts it off and gives it its input.
            deadline: it fails where it has not ended so long from now; None: as its blueprint says.
        """
        deadline_ms = None if deadline is None else deadline_ms_of(deadline)
        wishes = {"unique": unique, "debounce": debounce}
        answer = await self._post_job(
            blueprint, input, webhook_url, idempotency_key, tags, deadline_ms, wait_s=0, wishes=wishes
        )
        return read_answer(_STARTED, answer.body).job_id

    async def run(
        self,
        blueprint: str,
        input: object = None,  # noqa: A002
        *,
        timeout_s: float | None = None,
    ) -> JobState:
        """Start a job and wait for its end, whatever that is. Raises TimeoutError; the job goes on then."""
        deadline_s = end_of(timeout_s)
        wait_s = next_wait_s(deadline_s)
        answer = await self._post_job(blueprint, input, None, None, (), wait_s=wait_s)
        if answer.status == 200:  # final in time
            state = read_answer(_JOB, answer.body)
            if state.is_final:
                return state
            return await self._wait_until(state.id, deadline_s)
        return await self._wait_until(read_answer(_STARTED, answer.body).job_id, deadline_s)

    async def job(self, job_id: str) -> JobState:
        return read_answer(_JOB, (await self._get(_job_path(job_id))).body)

    async def wait(self, job_id: str, *, timeout_s: float | None = None) -> JobState:
        """Until the job is final. Raises TimeoutError; short outages of the orchestrators are sat out."""
        return await self._wait_until(job_id, end_of(timeout_s))

    async def watch(self, job_id: str) -> AsyncIterator[JobState]:
        """The state now, then after every change, ending with the final one. Fast changes may be seen as one."""
        state = await self.job(job_id)
        yield state
        while not state.is_final:
            path = f"{_job_path(job_id)}?wait={WAIT_S_MAX:g}&since={state.version}"
            newer = read_answer(_JOB, (await self._get_patiently(path, WAIT_S_MAX)).body)
            if newer.version != state.version or newer.is_final:
                yield newer
            state = newer

    async def jobs(
        self,
        status: Iterable[str] = (),
        blueprint: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        tag: str | None = None,
        **more: str | datetime,
    ) -> JobList:
        """Newest first; a page may be short, or empty, before the end: `next` decides.

        *more* may be `error` (a fingerprint), `created_since`, `created_until`, `finished_since`, `finished_until`.
        """
        query: dict[str, str | int] = {"limit": limit}
        if statuses := ",".join([status] if isinstance(status, str) else status):
            query["status"] = statuses
        if blueprint:
            query["blueprint"] = blueprint
        if tag:
            query["tag"] = tag
        if cursor:
            query["cursor"] = cursor
        query |= filter_query(more)
        return read_answer(_JOBS, (await self._get(f"/api/v1/jobs?{urlencode(query)}")).body)

    async def cancel(self, job_id: str) -> str:
        """Returns `cancellation_request_sent` (the worker was told) or `cancellation_request_accepted`."""
        answer = await self._transport.request("POST", f"{_job_path(job_id)}/cancel")
        return read_answer(_STATUS, answer.body).status

    async def delete(self, job_id: str) -> None:
        """Cancel the job if it is active, wait for its end, and forget it with everything of it."""
        await self._transport.request("DELETE", _job_path(job_id), timeout_s=DELETE_S_MAX)

    async def history(self, job_id: str) -> list[dict[str, Any]]:
        """Events, oldest first."""
        return read_answer(_OBJECTS, (await self._get(f"{_job_path(job_id)}/history")).body)

    async def why(self, job_id: str) -> Why:
        """Why the job is not running now: one reason at least, what must change first comes first."""
        return read_answer(_WHY, (await self._get(f"{_job_path(job_id)}/why")).body)

    async def logs(
        self, job_id: str, *, after: int = 0, limit: int = 1000, stream: StreamName | None = None
    ) -> LogPage:
        """Lines after line `after` that are there now; ask again with the page's `next`."""
        query: dict[str, str | int] = {"after": after, "limit": limit, "follow": 0}
        if stream is not None:
            query["stream"] = stream
        return read_answer(_LOG, (await self._get(f"{_job_path(job_id)}/logs?{urlencode(query)}")).body)

    async def follow_logs(self, job_id: str, *, after: int = 0) -> AsyncGenerator[LogLine, None]:
        """Lines as they are printed, until the job is final; each once, also over lost connections."""
        async with aclosing(follow(self._transport, _job_path(job_id), after)) as lines:
            async for line in lines:
                yield line

    async def events(
        self, job_id: str | None = None, *, after: int = 0, since: datetime | None = None
    ) -> AsyncGenerator[LiveEvent, None]:
        """All that happens to a job, in order, until it is over; without a job, to all of one's jobs, for ever.

        Lost connections are made again. Of one job each line then comes once; states may come again. Of all jobs only
        the states come of what happened in between. `after` is a line of the job; with `since` the state of the jobs
        that changed since then comes first.
        """
        if job_id is None:
            place = "" if since is None else str(int(since.timestamp() * 1000))
            following = follow_events(self._transport, "/api/v1/events", "since", place, ends=False)
        else:
            path = f"{_job_path(job_id)}/events"
            following = follow_events(self._transport, path, "after", str(after), ends=True)
        async with aclosing(following) as events:
            async for event in events:
                yield LiveEvent.model_validate(event)

    async def steps(self, job_id: str) -> JobSteps:
        """The steps of the job's tasks, and what they told about the job as a whole."""
        return read_answer(_STEPS, (await self._get(f"{_job_path(job_id)}/steps")).body)

    async def upload(self, path: Path | str, *, name: str | None = None, media_type: str | None = None) -> UploadedFile:
        """Send a file; its id may stand in the input of jobs."""
        source = Path(path)
        query = {"name": source.name if name is None else name}
        if media_type is not None:
            query["media_type"] = media_type
        return read_answer(_UPLOADED, await send_file(self._transport, "POST", "/api/v1/files", source, query=query))

    async def download(self, file_id: str, path: Path | str) -> Path:
        """Put an upload or artifact at *path*. It is whole when this returns."""
        target = Path(path)
        await fetch_file(self._transport, f"/api/v1/files/{quote(file_id, safe='')}", target)
        return target

    async def artifacts(self, job_id: str) -> list[Artifact]:
        """What the job's tasks kept, oldest first."""
        return read_answer(_ARTIFACTS, (await self._get(f"{_job_path(job_id)}/artifacts")).body).items

    async def download_artifacts(self, job_id: str, path: Path | str) -> Path:
        """Put all artifacts of the job as one zip at *path*."""
        target = Path(path)
        await fetch_file(self._transport, f"{_job_path(job_id)}/artifacts.zip", target)
        return target

    async def delete_file(self, file_id: str) -> None:
        """Delete an upload or artifact."""
        await self._transport.request("DELETE", f"/api/v1/files/{quote(file_id, safe='')}")

    async def signed_upload(self, name: str, *, media_type: str | None = None) -> SignedUpload:
        """A URL by which somebody without a token sends one file, once, by PUT."""
        body = encode({"name": name, "media_type": media_type})
        return read_answer(
            _SIGNED, (await self._transport.request("POST", "/api/v1/files/signed-upload", body=body)).body
        )

    async def signed_download(self, file_id: str) -> str:
        """A URL by which somebody without a token fetches an upload or artifact, for two hours."""
        path = f"/api/v1/files/{quote(file_id, safe='')}/signed-url"
        return read_answer(_DOWNLOAD, (await self._transport.request("POST", path)).body).download_url

    async def start_batch(self, jobs: Sequence[Mapping[str, Any]], *, batch_id: str | None = None) -> StartedBatch:
        """Start up to 1000 jobs, or none where one of them is not valid.

        Args:
            jobs: of each `blueprint` and, where wanted, `initial_data` and `tags`.
            batch_id: the same one with the same jobs starts none of them twice; made up if not given.
        """
        # It always has an id: a request that is sent again after a lost answer must not start anything twice.
        body = encode({"id": batch_id or uuid.uuid4().hex, "jobs": to_jsonable_python(list(jobs))})
        answer = await self._transport.request("POST", "/api/v1/batches", body=body, timeout_s=BATCH_S_MAX)
        return read_answer(_STARTED_BATCH, answer.body)

    async def batch(self, batch_id: str) -> BatchState:
        return read_answer(_BATCH, (await self._get(_batch_path(batch_id))).body)

    async def cancel_batch(self, batch_id: str) -> int:
        """Returns how many jobs were not over, and are being cancelled."""
        answer = await self._transport.request("POST", f"{_batch_path(batch_id)}/cancel", timeout_s=BATCH_S_MAX)
        return read_answer(_CANCELLED_BATCH, answer.body).cancelling

    async def signal(self, job_id: str, name: str, data: Mapping[str, Any] | None = None) -> None:
        """Give a job the signal *name*; one that it does not wait for yet is kept until it does."""
        path = f"{_job_path(job_id)}/signals/{quote(name, safe='')}"
        await self._transport.request("POST", path, body=encode(dict(data or {})))

    async def costs(self, since: date | None = None, until: date | None = None) -> CostDays:
        """What jobs created on these days cost, both included; the last week if not given."""
        given = {"since": since, "until": until}
        query = {name: day.isoformat() for name, day in given.items() if day is not None}
        return read_answer(_COST_DAYS, (await self._get(f"/api/v1/cost/days?{urlencode(query)}")).body)

    async def workers(self) -> list[dict[str, Any]]:
        return read_answer(_OBJECTS, (await self._get("/api/v1/workers")).body)

    async def wanted(self) -> list[TaskDemand]:
        """Work and workers by task type."""
        return read_answer(_WANTED, (await self._get("/api/v1/fleet/wanted")).body).items

    async def dashboard(self) -> dict[str, Any]:
        return read_answer(_OBJECT, (await self._get("/api/v1/dashboard")).body)

    async def blueprints(self) -> list[dict[str, Any]]:
        return read_answer(_ITEMS, (await self._get("/api/v1/blueprints")).body).items

    async def connections(self) -> list[dict[str, Any]]:
        """Saved connections and those of the server, with their last runs."""
        return read_answer(_ITEMS, (await self._get("/api/v1/connections")).body).items

    async def connection(self, name: str) -> dict[str, Any]:
        return read_answer(_OBJECT, (await self._get(_connection_path(name))).body)

    async def save_connection(self, name: str, definition: Mapping[str, Any]) -> dict[str, Any]:
        """Save a connection, in place of the one of that name if there is one."""
        body = encode(definition)
        return read_answer(_OBJECT, (await self._transport.request("PUT", _connection_path(name), body=body)).body)

    async def delete_connection(self, name: str) -> None:
        """Forget a connection; its runs stay."""
        await self._transport.request("DELETE", _connection_path(name))

    async def run_connection(self, name: str, *, idempotency_key: str | None = None) -> str:
        """Start a run and return the id of its job."""
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        answer = await self._transport.request("POST", f"{_connection_path(name)}/run", headers=headers)
        return read_answer(_STARTED, answer.body).job_id

    async def _post_job(
        self,
        blueprint: str,
        data: object,
        webhook_url: str | None,
        key: str | None,
        tags: Sequence[str],
        deadline_ms: int | None = None,
        *,
        wait_s: float,
        wishes: Mapping[str, Mapping[str, Any] | None] | None = None,
    ) -> Answer:
        # Every job gets a key: a request that is sent again after a lost answer must not make a second job.
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        if wait_s > 0:
            headers["Prefer"] = f"wait={wait_s:g}"
        order: dict[str, Any] = {"initial_data": {} if data is None else to_jsonable_python(data)}
        if webhook_url is not None:
            order["webhook_url"] = webhook_url
        if tags:
            order["tags"] = list(tags)
        order |= {name: dict(wish) for name, wish in (wishes or {}).items() if wish is not None}
        if deadline_ms is not None:
            order["deadline_seconds"] = deadline_ms / 1000
        endpoint = quote(blueprint.strip("/")) if "/" in blueprint else f"jobs/{quote(blueprint, safe='')}"
        return await self._transport.request(
            "POST",
            f"/api/v1/{endpoint}",
            body=encode(order),
            headers=headers,
            timeout_s=wait_s + ANSWER_MARGIN_S,
        )

    async def _wait_until(self, job_id: str, deadline_s: float | None) -> JobState:
        while True:
            wait_s = next_wait_s(deadline_s)
            path = f"{_job_path(job_id)}?wait={wait_s:g}"
            state = read_answer(_JOB, (await self._get_patiently(path, wait_s)).body)
            if state.is_final:
                return state
            if deadline_s is not None and time.monotonic() >= deadline_s:
                raise TimeoutError(f"job {job_id} is still {state.status}")

    async def _get(self, path: str, timeout_s: float = ANSWER_MARGIN_S) -> Answer:
        return await self._transport.request("GET", path, timeout_s=timeout_s)

    async def _get_patiently(self, path: str, wait_s: float) -> Answer:
        """A GET that outlasts restarts of orchestrators."""
        backoff = Backoff(longest_s=2.0)
        give_up_s = time.monotonic() + OUTAGE_S_MAX
        while True:
            try:
                return await self._get(path, wait_s + ANSWER_MARGIN_S)
            except Unreachable as error:
                if time.monotonic() > give_up_s:
                    raise
                await asyncio.sleep(backoff.next_delay_s(error.retry_after_s))


def _batch_path(batch_id: str) -> str:
    return f"/api/v1/batches/{quote(batch_id, safe='')}"


def _connection_path(name: str) -> str:
    return f"/api/v1/connections/{quote(name, safe='')}"


def _job_path(job_id: str) -> str:
    return f"/api/v1/jobs/{quote(job_id, safe='')}"
