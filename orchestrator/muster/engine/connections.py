"""Connections: those of the server's file and those that tenants saved, and the jobs that were run of them."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from muster.blueprint.problems import InputInvalid
from muster.blueprint.registry import Registry
from muster.core.connection import (
    BATCH_TAG,
    CONNECTION_TAG,
    SCHEDULER,
    Connection,
    ConnectionRefused,
    Problem,
    name_of_run,
    read_connection,
)
from muster.core.ids import UnixMs
from muster.core.limits import CONNECTIONS_MAX
from muster.core.record import JobRecord
from muster.engine.files import FILE_GONE
from muster.engine.uploads import CheckInputs
from muster.engine.views import JobOrder, JobPage, Submitted
from muster.errors import ErrorCode, MusterError
from muster.store.base import Store
from muster.store.connection_records import NotSaved, SavedConnection, Slot

log = logging.getLogger("muster.connections")

SEQUENCE: Final = "sequence"
"""The built-in blueprint that runs one job after the other."""
PAGE_JOBS: Final = 100
RUNS_READ_MAX: Final = 2_000
"""Runs that a look back passes through before it returns what it has found."""
_NO_LONGER_FITS: Final = {ErrorCode.BLUEPRINT_NOT_FOUND, ErrorCode.INVALID_INPUT, *FILE_GONE}


class Submit(Protocol):
    async def __call__(self, order: JobOrder) -> Submitted: ...


class Tagged(Protocol):
    async def __call__(self, tenant: str, tag: str, *, limit: int, cursor: str | None = None) -> JobPage: ...


@dataclass(frozen=True, slots=True)
class Known:
    """A connection as one tenant sees it. `changed_at`: when it was saved; None for one of the file."""

    connection: Connection
    tenant: str
    changed_at: UnixMs | None = None

    @property
    def is_configured(self) -> bool:
        return self.changed_at is None

    @property
    def scheduled_tenant(self) -> str:
        """Whose jobs its scheduled runs are."""
        return self.connection.scheduled_tenant if self.is_configured else self.tenant

    @property
    def key(self) -> str:
        """One for each schedule of the deployment."""
        return f"{'' if self.is_configured else self.tenant}/{self.connection.name}"

    def order(self, tenant: str, *, tags: tuple[str, ...] = (), key: str | None = None, wait_ms: int = 0) -> JobOrder:
        blueprint, initial_data = self.connection.job()
        return JobOrder(
            tenant,
            blueprint,
            initial_data,
            idempotency_key=key,
            tags=(*self.connection.tags, *tags),
            wait_ms=wait_ms,
        )


class Connections:
    """All raise MusterError. The file's connections shadow saved ones of the same name where a tenant sees both."""

    def __init__(
        self,
        store: Store,
        blueprints: Registry,
        configured: Sequence[Connection],
        submit: Submit,
        tagged: Tagged,
        check_inputs: CheckInputs,
    ) -> None:
        self._records = store.connections
        self._blueprints = blueprints
        self._configured = tuple(configured)
        self._submit = submit
        self._tagged = tagged
        self._check_inputs = check_inputs
        self.on_change: Callable[[], None] = lambda: None

    # Definitions

    async def seen_by(self, tenant: str) -> tuple[Known, ...]:
        """The file's in its order, then the tenant's own, oldest first."""
        shared = [Known(one, tenant) for one in self._configured if one.is_seen_by(tenant)]
        return (*shared, *await self._saved_by(tenant))

    async def find(self, tenant: str, name: str) -> Known:
        """Raises: MusterError CONNECTION_NOT_FOUND; RUN_FAILED where it cannot be read."""
        shared = self._shared(tenant, name)
        if shared is not None:
            return Known(shared, tenant)
        saved = await self._records.get(tenant, name)
        if saved is None:
            raise _not_found(name)
        return _known(tenant, saved)

    async def create(self, tenant: str, given: Mapping[str, Any]) -> Known:
        """Save a new one.

        Raises:
            MusterError: INVALID_BODY, CONNECTION_EXISTS, CONNECTION_CONFIGURED, TOO_MANY_CONNECTIONS, FILE_NOT_FOUND.
        """
        return await self._save(tenant, given, is_new=True)

    async def put(self, tenant: str, name: str, given: Mapping[str, Any]) -> Known:
        """Save it whether or not there is one of the name. Raises: as `create`, but for CONNECTION_EXISTS."""
        if given.get("name", name) != name:
            raise _invalid([Problem("/name", f"the URL says {name[:100]!r}; leave it out, or say the same")])
        return await self._save(tenant, {**given, "name": name}, is_new=False)

    async def delete(self, tenant: str, name: str) -> None:
        """Runs that there are stay. Raises: MusterError CONNECTION_NOT_FOUND, CONNECTION_CONFIGURED."""
        self._refuse_configured(tenant, name)
        if not await self._records.delete(tenant, name):
            raise _not_found(name)
        self.on_change()

    async def _save(self, tenant: str, given: Mapping[str, Any], *, is_new: bool) -> Known:
        try:
            connection = read_connection(given)
        except ConnectionRefused as refused:
            raise _invalid(refused.problems) from refused
        if connection.clients is not None:
            raise _invalid(
                [Problem("/clients", "belongs to the server's file; a saved connection is its tenant's own")]
            )
        self._refuse_configured(tenant, connection.name)
        if problem := blueprint_problem(connection, self._blueprints):
            raise _invalid([problem])
        await self._check_files(tenant, connection)
        record = orjson.dumps(connection.record())
        saved = await self._records.save(
            tenant, connection.name, record, secrets.token_hex(8), is_new=is_new, most=CONNECTIONS_MAX
        )
        if isinstance(saved, NotSaved):
            raise _not_saved(saved, connection.name)
        self.on_change()
        return _known(tenant, saved)

    async def _check_files(self, tenant: str, connection: Connection) -> None:
        """Those that are there now may be gone by the time of a run, which is refused then."""
        name, initial_data = connection.job()
        blueprint = self._blueprints.get(name)
        assert blueprint is not None, "it was looked for"
        await self._check_inputs(tenant, blueprint.files_named(initial_data))

    async def _saved_by(self, tenant: str) -> list[Known]:
        """Those that the file does not shadow. One that cannot be read must not hide the others."""
        found: list[Known] = []
        for saved in await self._records.all(tenant):
            if self._shared(tenant, saved.name) is not None:
                continue
            try:
                found.append(_known(tenant, saved))
            except MusterError as error:
                log.warning("connection_unreadable", extra={"tenant": tenant, "error": error.detail})
        return found

    def _shared(self, tenant: str, name: str) -> Connection | None:
        return next((one for one in self._configured if one.name == name and one.is_seen_by(tenant)), None)

    def _refuse_configured(self, tenant: str, name: str) -> None:
        if self._shared(tenant, name) is not None:
            raise MusterError(
                ErrorCode.CONNECTION_CONFIGURED,
                f"Connection {name!r} stands in the server's file and cannot be changed by API.",
                hint="Change the file and restart the server, or take another name.",
            )

    # Runs

    async def run(self, tenant: str, name: str, *, wait_ms: int = 0, key: str | None = None) -> Submitted:
        """Raises: MusterError CONNECTION_NOT_FOUND; RUN_FAILED where its blueprint is gone or takes other input."""
        known = await self.find(tenant, name)
        return await self._start(known.order(tenant, key=key, wait_ms=wait_ms))

    async def run_enabled(self, tenant: str) -> tuple[tuple[str, ...], Submitted | None]:
        """One job that runs all enabled connections, one after the other. None: none is enabled."""
        enabled = [known for known in await self.seen_by(tenant) if known.connection.enabled]
        names = tuple(known.connection.name for known in enabled)
        if not enabled:
            return names, None
        members = [_member(known) for known in enabled]
        return names, await self._start(JobOrder(tenant, SEQUENCE, {"members": members}, tags=(BATCH_TAG,)))

    async def _start(self, order: JobOrder) -> Submitted:
        try:
            return await self._submit(order)
        except MusterError as error:
            if error.code in _NO_LONGER_FITS:
                raise MusterError(ErrorCode.RUN_FAILED, error.detail, hint=error.hint, extra=error.extra) from error
            raise

    async def last_ended(self, tenant: str, known: Known) -> JobRecord | None:
        """The newest run that has ended, of those that *tenant* may know of."""
        tenants = {tenant, known.scheduled_tenant}
        found = await asyncio.gather(*(self._ended(owner, known.connection.tag, 1) for owner in tenants))
        return max((record for page in found for record in page), key=lambda record: record.created_at, default=None)

    async def history(self, tenant: str, limit: int) -> tuple[JobRecord, ...]:
        """Ended runs, newest first: the tenant's own, and scheduled ones of the connections that it sees."""
        visible = {one.name for one in self._configured if one.is_seen_by(tenant)}
        own, shared = await asyncio.gather(
            self._ended(tenant, CONNECTION_TAG, limit),
            self._ended(SCHEDULER, CONNECTION_TAG, limit, visible) if visible and tenant != SCHEDULER else _none(),
        )
        merged = sorted([*own, *shared], key=lambda record: (record.created_at, record.id), reverse=True)
        return tuple(merged[:limit])

    async def _ended(self, tenant: str, tag: str, limit: int, names: set[str] | None = None) -> list[JobRecord]:
        found: list[JobRecord] = []
        cursor: str | None = None
        for _ in range(RUNS_READ_MAX // PAGE_JOBS):
            page = await self._tagged(tenant, tag, limit=PAGE_JOBS if limit > 1 else 5, cursor=cursor)
            found += (one for one in page.items if one.status.is_final and _is_run_of(one, names))
            cursor = page.next
            if cursor is None or len(found) >= limit:
                break
        return found[:limit]

    # Schedules

    async def scheduled(self) -> tuple[Known, ...]:
        """Every connection of this deployment that runs by itself."""
        saved = [known for tenant in await self._records.tenants() for known in await self._saved_by(tenant)]
        shared = [Known(one, one.scheduled_tenant) for one in self._configured]
        return tuple(known for known in (*shared, *saved) if known.connection.timing is not None)

    async def slots(self) -> dict[str, Slot]:
        """What became of the last slot of each schedule, by `Known.key`."""
        return await self._records.slots()


def blueprint_problem(connection: Connection, blueprints: Registry) -> Problem | None:
    """Why the server's blueprints could not run it."""
    name, initial_data = connection.job()
    blueprint = blueprints.get(name)
    if blueprint is None:
        return Problem("/blueprint", f"there is no blueprint {name!r}")
    try:
        blueprint.validate_input(initial_data)
    except InputInvalid as error:
        return Problem("/initial_data", f"does not fit blueprint {name!r}: {error}")
    return None


def _member(known: Known) -> dict[str, Any]:
    blueprint, initial_data = known.connection.job()
    return {
        "name": known.connection.name,
        "blueprint": blueprint,
        "input": initial_data,
        "tags": list(known.connection.tags),
    }


def _known(tenant: str, saved: SavedConnection) -> Known:
    """Raises: MusterError RUN_FAILED, where another version saved what this one does not know."""
    try:
        return Known(read_connection(orjson.loads(saved.record)), tenant, saved.changed_at)
    except ConnectionRefused as refused:
        raise MusterError(
            ErrorCode.RUN_FAILED,
            f"Connection {saved.name!r} was saved by a server that knew more: {refused}",
            hint=f"PUT /api/v1/connections/{saved.name} replaces it.",
        ) from refused


def _is_run_of(record: JobRecord, names: set[str] | None) -> bool:
    return names is None or name_of_run(record.submission.tags) in names


async def _none() -> list[JobRecord]:
    return []


def _not_found(name: str) -> MusterError:
    return MusterError(
        ErrorCode.CONNECTION_NOT_FOUND,
        f"There is no connection {name[:100]!r}.",
        hint="GET /api/v1/connections lists them.",
    )


def _not_saved(why: NotSaved, name: str) -> MusterError:
    if why is NotSaved.EXISTS:
        return MusterError(
            ErrorCode.CONNECTION_EXISTS,
            f"There is a connection {name!r} already.",
            hint=f"PUT /api/v1/connections/{name} replaces it.",
        )
    return MusterError(
        ErrorCode.TOO_MANY_CONNECTIONS,
        f"You have {CONNECTIONS_MAX} connections, which is the most.",
        hint="Delete those that are not needed.",
    )


def _invalid(problems: Sequence[Problem]) -> MusterError:
    errors = [{"pointer": problem.pointer, "detail": problem.text} for problem in problems]
    return MusterError(ErrorCode.INVALID_BODY, f"The connection is not valid: {problems[0]}.", extra={"errors": errors})
