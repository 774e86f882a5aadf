"""Blueprints that are data, and where new jobs begin: saved in the store, known to every replica a moment later.

The one place that keeps the registry in step with the store. Every change is made from what was read, and refused by
the store where somebody else was faster; then it is made again.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from muster.blueprint.data.definition import DataBlueprint, from_dict
from muster.blueprint.definition import AnyBlueprint
from muster.blueprint.graphs import version_number
from muster.blueprint.problems import BlueprintError, Problem
from muster.blueprint.registry import Registry, Served
from muster.core.blueprint_head import (
    BlueprintHead,
    Rollout,
    begun_with,
    dump_head,
    load_head,
    looked_at,
    rolled_out,
    with_version,
)
from muster.core.ids import UnixMs
from muster.core.limits import BLUEPRINT_NAMES_MAX, BLUEPRINT_VERSIONS_MAX
from muster.errors import ErrorCode, MusterError
from muster.store.base import Store, StoreFull, StoreUnavailable
from muster.store.blueprint_records import Head, HeadChange, NotSaved

log = logging.getLogger("muster.versions")

POLL_S: Final = 5.0
"""A replica that missed the message learns of a change after so long."""
PRUNE_S: Final = 600.0
TRIES_MAX: Final = 8
"""Of a change that others are always faster than."""
EVERYTHING: Final = "*"


@dataclass(frozen=True, slots=True)
class Saved:
    """`is_new`: a version that was not there before; else the same was saved already."""

    blueprint: DataBlueprint
    head: BlueprintHead
    is_new: bool


@dataclass(frozen=True, slots=True)
class Known:
    """A blueprint by name: `blueprint` None where it is data that is out of service."""

    name: str
    blueprint: AnyBlueprint | None
    head: BlueprintHead
    versions: tuple[str, ...]
    is_data: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be so for a change: the version that new jobs begin with, or that there is none."""

    version: str | None = None
    is_new: bool = False

    def check(self, name: str, current: str) -> None:
        """Raises: MusterError PRECONDITION_FAILED."""
        if self.is_new and current:
            raise _precondition(f"There is a blueprint {name!r} already, in version {current}.", current)
        if self.version == EVERYTHING and not current:
            raise _precondition(f"There is no blueprint {name!r}.", current)
        if self.version not in {None, EVERYTHING, current}:
            said = f"is in version {current}" if current else "is not there"
            raise _precondition(f"Blueprint {name!r} {said}, not {self.version!r}.", current)


ANY: Final = Condition()


class Versions:
    """All raise MusterError."""

    def __init__(self, store: Store, registry: Registry, now: Callable[[], UnixMs], keep_ms: int) -> None:
        self._records = store.blueprints
        self._registry = registry
        self._now = now
        self._keep_ms = keep_ms
        self._seen: int | None = None
        self._loaded: dict[tuple[str, str], DataBlueprint] = {}
        self._lock = asyncio.Lock()
        self._told = asyncio.Event()

    # Keeping in step

    def hear(self) -> None:
        """Something was changed: look at once."""
        self._told.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        pruned = 0.0
        while True:
            try:
                async with asyncio.timeout(POLL_S):
                    await self._told.wait()
            except TimeoutError:
                pruned += POLL_S
            self._told.clear()
            try:
                await self.sync()
                if pruned >= PRUNE_S:
                    pruned = 0.0
                    await self.prune()
            except (StoreUnavailable, StoreFull) as trouble:
                log.warning("blueprints_put_off", extra={"error": str(trouble)})

    async def sync(self) -> None:
        """Serve what the store says, if that is not what is served."""
        async with self._lock:
            changes = await self._records.changes()
            if changes == self._seen:
                return
            heads = {head.name: _read(head) for head in await self._records.heads()}
            data = {name: await self._versions_of(name, head) for name, head in heads.items() if head.versions}
            self._loaded = {(name, version): one for name, found in data.items() for version, one in found.items()}
            self._registry.serve(Served(data, heads))
            self._seen = changes
            log.info("blueprints_served", extra={"data": sorted(data), "changes": changes})

    async def _versions_of(self, name: str, head: BlueprintHead) -> dict[str, DataBlueprint]:
        missing = [version for version in head.versions if (name, version) not in self._loaded]
        specs = dict(zip(missing, await self._records.specs(name, missing), strict=True))
        found: dict[str, DataBlueprint] = {}
        for version in head.versions:
            known = self._loaded.get((name, version)) or _compiled(name, version, specs.get(version))
            if known is not None:
                found[version] = known
        return found

    # Reading

    def known(self, name: str) -> Known:
        """Raises: MusterError BLUEPRINT_NOT_FOUND."""
        head = self._head(name)
        blueprint = self._registry.get(name)
        if blueprint is None and not head.versions:
            raise not_found(name)
        return Known(name, blueprint, head, self._registry.versions(name), not self._registry.is_code(name))

    def version(self, name: str, version: str) -> AnyBlueprint:
        """By the whole version or its number. Raises: MusterError BLUEPRINT_NOT_FOUND, VERSION_NOT_FOUND."""
        self.known(name)
        found = self._registry.version(name, version)
        if found is None:
            known = ", ".join(self._registry.versions(name)) or "none"
            raise MusterError(
                ErrorCode.VERSION_NOT_FOUND,
                f"Blueprint {name!r} has no version {version[:80]!r} here; it has {known}.",
                hint=f"GET /api/v1/blueprints/{name} lists them.",
            )
        return found

    def _head(self, name: str) -> BlueprintHead:
        return self._registry.head(name) or BlueprintHead()

    # Changing

    def draft(self, name: str, spec: Any) -> DataBlueprint:
        """*spec* as a blueprint of *name*, saved nowhere. Raises: MusterError BLUEPRINT_INVALID, BLUEPRINT_IN_CODE."""
        self._refuse_code(name)
        try:
            blueprint = from_dict(spec, name=name)
        except BlueprintError as error:
            raise invalid(name, error.problems) from error
        route = self._registry.by_endpoint(blueprint.api_version, blueprint.endpoint)
        if route is not None and route.name != name:
            url = f"/api/{blueprint.api_version}/{blueprint.endpoint}"
            raise invalid(name, [Problem(name, "", 0, f"{url} belongs to {route.name!r}", "", "/endpoint")])
        if problems := self._registry.endless([blueprint], [blueprint]):
            raise invalid(name, problems)
        if blueprint.schedule is not None:
            said = "the schedule of a blueprint that is saved is a connection of its own"
            hint = f"PUT /api/v1/connections/{name} with `blueprint` and `schedule` or `every`, and leave it out here"
            raise invalid(name, [Problem(name, "", 0, said, hint, "/schedule")])
        return blueprint

    async def put(self, draft: DataBlueprint, *, by: str, share: int = 100, condition: Condition = ANY) -> Saved:
        """Save a version, from which all new jobs begin, or a *share* of a hundred. The same again changes nothing.

        Raises: MusterError PRECONDITION_FAILED, TOO_MANY_BLUEPRINTS, BLUEPRINT_IN_CODE.
        """
        name, spec = draft.name, orjson.dumps(draft.to_dict(), option=orjson.OPT_SORT_KEYS)
        nonce = secrets.token_hex(8)
        for _ in range(TRIES_MAX):
            stored, head = await self._read_head(name)
            known = await self._saved_before(name, head, draft.content_hash)
            if known is not None and _is_so(head, known, share):  # a request that came twice is no conflict
                return Saved(self._compiled_again(draft, known), head, is_new=False)
            condition.check(name, head.current)
            number = max(head.number + 1, draft.version_number)
            version = known or f"{number}:{draft.content_hash[:8]}"
            if known is None and len(head.versions) >= BLUEPRINT_VERSIONS_MAX:
                raise _too_many_versions(name)
            at = self._now() if known is None else head.versions[known].at
            changed = with_version(head, version, max(head.number, int(version_number(version))), at, by, share)
            specs = {} if known else {version: spec}
            if await self._save(name, stored, changed, nonce, specs):
                return Saved(self._compiled_again(draft, version), changed, is_new=known is None)
        raise _contended(name)

    async def delete(self, name: str, condition: Condition = ANY) -> None:
        """Take it out of service: no new jobs; those that run go on.

        Raises: MusterError as `put`, BLUEPRINT_NOT_FOUND.
        """
        self._refuse_code(name)
        for _ in range(TRIES_MAX):
            stored, head = await self._read_head(name)
            if not head.current:
                raise not_found(name)
            condition.check(name, head.current)
            live = await self._live(name, head)
            changed = looked_at(begun_with(head, ""), live, self._now(), self._keep_ms)
            if await self._save(name, stored, changed, secrets.token_hex(8)):
                return
        raise _contended(name)

    async def roll_out(self, name: str, version: str, share: int) -> BlueprintHead:
        """Let *share* of a hundred new jobs begin with *version*, and the others with what they begin with now.

        Raises: MusterError BLUEPRINT_NOT_FOUND, VERSION_NOT_FOUND, ROLLOUT_REFUSED where there is nothing beside it.
        """
        wanted = self.version(name, version).version
        for _ in range(TRIES_MAX):
            stored, head = await self._read_head(name)
            base = self._base(name, head, wanted)
            changed = rolled_out(head, Rollout(wanted, share, base))
            if await self._save(name, stored, changed, secrets.token_hex(8)):
                return changed
        raise _contended(name)

    async def end_rollout(self, name: str, *, promote: bool) -> BlueprintHead:
        """All new jobs begin with the version of the rollout, or none. Raises: MusterError ROLLOUT_NOT_FOUND."""
        for _ in range(TRIES_MAX):
            stored, head = await self._read_head(name)
            if head.rollout is None:
                raise MusterError(
                    ErrorCode.ROLLOUT_NOT_FOUND,
                    f"No rollout of blueprint {name!r} is under way.",
                    hint=f"PUT /api/v1/blueprints/{name}/rollout begins one.",
                )
            wanted = head.rollout.version if promote else head.rollout.base
            changed = begun_with(head, "" if wanted == self._newest_code(name) else wanted)
            if await self._save(name, stored, changed, secrets.token_hex(8)):
                return changed
        raise _contended(name)

    async def prune(self) -> None:
        """Forget versions that no job is on, and names without any."""
        for stored in await self._records.heads():
            head = _read(stored)
            if not head.versions:
                continue
            changed = looked_at(head, await self._live(stored.name, head), self._now(), self._keep_ms)
            if changed != head:
                await self._save(stored.name, stored, changed, secrets.token_hex(8))

    async def _live(self, name: str, head: BlueprintHead) -> Mapping[str, int]:
        return {version: await self._records.live(name, version) for version in head.versions}

    async def _save(
        self,
        name: str,
        stored: Head | None,
        changed: BlueprintHead,
        nonce: str,
        specs: Mapping[str, bytes] | None = None,
    ) -> bool:
        """False: somebody else was faster."""
        before = BlueprintHead() if stored is None else _read(stored)
        gone = tuple(version for version in before.versions if version not in changed.versions)
        content = None if changed.is_empty else orjson.dumps(dump_head(changed))
        revision = 0 if stored is None else stored.revision
        saved = await self._records.save(
            HeadChange(name, revision, nonce, content, specs or {}, gone), names_max=BLUEPRINT_NAMES_MAX
        )
        if saved is NotSaved.FULL:
            raise MusterError(
                ErrorCode.TOO_MANY_BLUEPRINTS,
                f"There are {BLUEPRINT_NAMES_MAX} names of blueprints already.",
                hint="Delete those that are not needed.",
            )
        if saved is NotSaved.STALE:
            return False
        await self.sync()
        return True

    async def _read_head(self, name: str) -> tuple[Head | None, BlueprintHead]:
        stored = await self._records.head(name)
        return stored, BlueprintHead() if stored is None else _read(stored)

    async def _saved_before(self, name: str, head: BlueprintHead, content_hash: str) -> str | None:
        """The version that says the same, if there is one."""
        await self.sync()
        for version in head.versions:
            known = self._loaded.get((name, version))
            if known is not None and known.content_hash == content_hash:
                return version
        return None

    def _compiled_again(self, draft: DataBlueprint, version: str) -> DataBlueprint:
        return self._loaded.get((draft.name, version)) or from_dict(
            draft.to_dict(), name=draft.name, version=int(version_number(version))
        )

    def _newest_code(self, name: str) -> str:
        code = [one for one in self._registry.code() if one.name == name]
        return max(code, key=lambda one: one.version_number).version if code else ""

    def _base(self, name: str, head: BlueprintHead, wanted: str) -> str:
        """What jobs begin with that the rollout does not take."""
        begun = head.rollout.base if head.rollout else head.current
        current = begun or self._newest_code(name)
        if current and current != wanted:
            return current
        others = [version for version in self._registry.versions(name) if version != wanted]
        if not others:
            raise MusterError(
                ErrorCode.ROLLOUT_REFUSED,
                f"Blueprint {name!r} has version {wanted} alone: there is nothing for the other jobs to begin with.",
                hint="Save or load the other version too; old code may stand beside the new in a file of its own.",
            )
        return max(others, key=lambda version: int(version_number(version)))

    def _refuse_code(self, name: str) -> None:
        if self._registry.is_code(name):
            raise MusterError(
                ErrorCode.BLUEPRINT_IN_CODE,
                f"Blueprint {name!r} is in the server's files and cannot be changed by API.",
                hint="Take another name, or change the file.",
            )


def _is_so(head: BlueprintHead, version: str, share: int) -> bool:
    """Whether new jobs begin with *version* already as they are to."""
    if head.rollout is not None:
        return head.rollout.version == version and head.rollout.share == share
    return head.current == version


def invalid(name: str, problems: list[Problem]) -> MusterError:
    """All of *problems*, each with its pointer."""
    errors = [
        {
            "pointer": problem.pointer,
            "detail": problem.message,
            **({"hint": problem.hint} if problem.hint else {}),
            **({"column": problem.column} if problem.column else {}),
        }
        for problem in problems
    ]
    first = problems[0]
    count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    return MusterError(
        ErrorCode.BLUEPRINT_INVALID,
        f"Blueprint {name!r} has {count}; the first: {first.pointer or '/'}: {first.message}",
        hint=first.hint,
        extra={"errors": errors},
    )


def not_found(name: str) -> MusterError:
    return MusterError(
        ErrorCode.BLUEPRINT_NOT_FOUND,
        f"There is no blueprint {name[:200]!r}.",
        hint="GET /api/v1/blueprints lists them.",
    )


def _precondition(detail: str, current: str) -> MusterError:
    return MusterError(
        ErrorCode.PRECONDITION_FAILED,
        detail,
        hint="Somebody changed it meanwhile: read it again, and decide.",
        extra={"version": current or None},
    )


def _too_many_versions(name: str) -> MusterError:
    return MusterError(
        ErrorCode.TOO_MANY_BLUEPRINTS,
        f"Blueprint {name!r} has {BLUEPRINT_VERSIONS_MAX} versions that jobs may be on, which is the most.",
        hint=f"Move running jobs on: muster blueprint migrate {name} --to VERSION.",
    )


def _contended(name: str) -> MusterError:
    return MusterError(
        ErrorCode.PRECONDITION_FAILED, f"Blueprint {name!r} is being changed by others all the time.", hint="Try again."
    )


def _read(stored: Head) -> BlueprintHead:
    return load_head(orjson.loads(stored.content))


def _compiled(name: str, version: str, spec: bytes | None) -> DataBlueprint | None:
    """None: it was removed meanwhile, or a newer server saved what this one does not know."""
    if spec is None:
        return None
    try:
        return from_dict(orjson.loads(spec), name=name, version=int(version_number(version)))
    except BlueprintError as error:
        log.warning("blueprint_unreadable", extra={"blueprint": name, "version": version, "problems": str(error)})
        return None
