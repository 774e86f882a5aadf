"""The files of clients and workers, read again when they change: a token is given or taken back without a restart."""

import asyncio
import logging
from pathlib import Path
from typing import Final

from muster.api.auth import Credentials, CredentialsError
from muster.settings import Settings

LOOK_EVERY_S: Final = 2.0
log = logging.getLogger("muster.auth")


class CredentialFiles:
    """Keeps *credentials* to what the files of *settings* say."""

    def __init__(self, credentials: Credentials, settings: Settings) -> None:
        self._credentials = credentials
        self._settings = settings
        self._files = [path for path in (settings.clients_file, settings.workers_file) if path is not None]
        self._seen = self._look()

    async def watch(self, every_s: float = LOOK_EVERY_S) -> None:
        """Until cancelled. Files that cannot be used change nothing, and are logged."""
        while self._files:
            await asyncio.sleep(every_s)
            looked = self._look()
            if looked == self._seen:
                continue
            self._seen = looked
            try:
                self._credentials.become(Credentials.load(self._settings))
            except CredentialsError as error:
                log.error("credentials_not_reloaded", extra={"problems": list(error.problems)})  # noqa: TRY400  the text is all
            else:
                log.info("credentials_reloaded", extra={"clients": self._credentials.client_count})

    def _look(self) -> list[object]:
        return [_stamp(path) for path in self._files]


def _stamp(path: Path) -> object:
    try:
        stat = path.stat()
    except OSError:
        return "gone"
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
