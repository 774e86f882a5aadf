"""Files of a task and of a client, as values; and what a handler does with those of its task."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, TypeAdapter

from muster_worker.answers import read_answer
from muster_worker.file_transfer import fetch_file, send_file
from muster_worker.transport import Transport


class UploadedFile(BaseModel):
    """A client's upload. `name` is one safe segment. Members this version does not know are kept."""

    model_config = ConfigDict(extra="allow")

    file_id: str
    name: str
    size: int
    sha256: str
    media_type: str
    expires_at: datetime | None = None


class Artifact(BaseModel):
    """A file that a task kept; it lives as long as its job. Members this version does not know are kept."""

    model_config = ConfigDict(extra="allow")

    artifact_id: str
    job_id: str
    task_id: str | None
    name: str
    size: int
    sha256: str
    media_type: str
    description: str = ""
    step: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None


_ARTIFACT: Final = TypeAdapter(Artifact)


class TaskFiles:
    """Files of one attempt of a task. The `_now` methods are for plain handlers, which run in threads.

    What the task told before it keeps a file is told before the file is there: *settle* waits for that.
    """

    def __init__(
        self,
        transport: Transport,
        loop: asyncio.AbstractEventLoop,
        *,
        task_id: str,
        attempt: int,
        fence: str,
        settle: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._task_id = task_id
        self._settle = settle
        self._proof = {"X-Task-Id": task_id, "X-Task-Attempt": str(attempt), "X-Task-Fence": fence}

    async def download(self, file_id: str, path: Path | str, /) -> Path:
        """Put a file whose id stands in the task's input at *path*. It is whole when this returns.

        Raises NotFound where the input does not name it, and another ClientError or OSError.
        """
        target = Path(path)
        await fetch_file(self._transport, f"/_worker/files/{quote(file_id, safe='')}", target, headers=self._proof)
        return target

    async def upload(
        self,
        path: Path | str,
        /,
        name: str | None = None,
        *,
        media_type: str | None = None,
        description: str = "",
        step: int | str | None = None,
    ) -> Artifact:
        """Keep the file at *path* as an artifact of the job, in place of what this task kept under the name before.

        Raises Conflict where the task is not this worker's any more, and another ClientError or OSError.
        """
        if self._settle is not None:
            await self._settle()
        source = Path(path)
        query = {"name": source.name if name is None else name}
        if media_type is not None:
            query["media_type"] = media_type
        if description:
            query["description"] = description
        if step is not None:
            query["step"] = str(step)
        body = await send_file(
            self._transport,
            "PUT",
            f"/_worker/tasks/{self._task_id}/artifacts",
            source,
            query=query,
            headers=self._proof,
        )
        return read_answer(_ARTIFACT, body)

    def download_now(self, file_id: str, path: Path | str, /) -> Path:
        """`download` for plain handlers."""
        return asyncio.run_coroutine_threadsafe(self.download(file_id, path), self._loop).result()

    def upload_now(
        self, path: Path | str, /, name: str | None = None, *, media_type: str | None = None, description: str = ""
    ) -> Artifact:
        """`upload` for plain handlers."""
        keeping = self.upload(path, name, media_type=media_type, description=description)
        return asyncio.run_coroutine_threadsafe(keeping, self._loop).result()
