"""What a client may do with blueprints: read them, save those that are data, say where new jobs begin."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import TypeAdapter

from muster_worker.answers import read_answer
from muster_worker.codec import encode
from muster_worker.transport import Transport

_OBJECT: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])
YAML = "application/yaml"


class BlueprintCalls:
    """A part of `Client`."""

    _transport: Transport

    async def blueprint(self, name: str, version: str | None = None) -> dict[str, Any]:
        """A blueprint as it is now, with its versions; `spec` is what was saved, where it is data."""
        query = "" if version is None else f"?{urlencode({'version': version})}"
        return await self._blueprint_call("GET", name, query)

    async def graph(self, name: str, format: str = "dot", *, version: str | None = None) -> str:  # noqa: A002 - as the route calls it
        """`dot`, `mermaid` or `json`."""
        query = {"format": format, **({} if version is None else {"version": version})}
        return (await self._transport.request("GET", f"{_path(name)}/graph?{urlencode(query)}")).body.decode()

    async def put_blueprint(
        self,
        name: str,
        spec: Mapping[str, Any] | str,
        *,
        share: int | None = None,
        if_match: str | None = None,
        is_new: bool = False,
    ) -> dict[str, Any]:
        """Save a blueprint that is data; a text is YAML. New jobs begin with it, or a *share* of a hundred of them.

        *if_match*: only if that is the version that new jobs begin with. *is_new*: only if there is none.
        Raises ClientError: `blueprint_invalid` with all problems in `problem["errors"]`, `precondition_failed`, ….
        """
        headers = {"Content-Type": YAML} if isinstance(spec, str) else {}
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        if is_new:
            headers["If-None-Match"] = "*"
        query = "" if share is None else f"?{urlencode({'share': share})}"
        body = spec.encode() if isinstance(spec, str) else encode(spec)
        return await self._blueprint_call("PUT", name, query, body, headers)

    async def delete_blueprint(self, name: str) -> None:
        """Take a blueprint that is data out of service. Its jobs go on."""
        await self._transport.request("DELETE", _path(name))

    async def roll_out(self, name: str, version: str, share: int) -> dict[str, Any]:
        """Let *share* of a hundred new jobs begin with *version*."""
        return await self._blueprint_call("PUT", name, "/rollout", encode({"version": version, "share": share}))

    async def promote(self, name: str) -> str | None:
        """Let all new jobs begin with the rollout's version; returns it."""
        version: str | None = (await self._blueprint_call("POST", name, "/rollout/promote"))["version"]
        return version

    async def abort_rollout(self, name: str) -> str | None:
        """Let no new job begin with the rollout's version; returns what they begin with."""
        version: str | None = (await self._blueprint_call("DELETE", name, "/rollout"))["version"]
        return version

    async def migrate(
        self,
        name: str,
        to: str,
        *,
        source: str | None = None,
        names: Mapping[str, str] | None = None,
        dry_run: bool = True,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Move running jobs to version *to*, or say what would become of them: page by page, until all were looked at.

        *names* says what states are called in the new version. A page has `states`, with `moved` and `stayed` for
        each, and `stayed`, some of those jobs with the reason.
        """
        order: dict[str, Any] = {"to": to, "from": source, "map": dict(names or {}), "dry_run": dry_run}
        cursor: str | None = ""
        while cursor is not None:
            page = await self._blueprint_call("POST", name, "/migrate", encode({**order, "cursor": cursor or None}))
            yield page
            cursor = page["next"]

    async def _blueprint_call(
        self, method: str, name: str, rest: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        answer = await self._transport.request(method, f"{_path(name)}{rest}", body=body, headers=dict(headers or {}))
        return read_answer(_OBJECT, answer.body)


def _path(name: str) -> str:
    return f"/api/v1/blueprints/{quote(name, safe='')}"
