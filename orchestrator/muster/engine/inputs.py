"""Jobs that wait for files which somebody was given a URL for: the signal when the last has come.

A job notes itself with each missing upload after the commit that begins to wait; whoever keeps an upload looks there
afterwards. One of the two sees the other, whichever is first. Where both die in between, the job's own timer looks
again (`UPLOADS_LOOK_MS`).
"""

import asyncio
from typing import Final

from muster.core import events as ev
from muster.core.ids import JobId
from muster.core.record import SignalItem
from muster.engine.history import blob
from muster.engine.nonces import nonce
from muster.engine.turns import Turns
from muster.engine.uploads import not_sent
from muster.store.base import Store, Turn
from muster.store.codec import dump_item

JOBS_PER_UPLOAD_MAX: Final = 100
"""Jobs that are told of one upload; more of them look by themselves."""


class Inputs:
    def __init__(self, store: Store, turns: Turns, *, history: bool) -> None:
        self._store = store
        self._turns = turns
        self._history = history

    async def expect(self, job: JobId, uploads: tuple[str, ...]) -> None:
        """The job waits for *uploads* now, of which some may have come just before."""
        expect = self._store.files.expect_upload
        planned = await asyncio.gather(*(expect(upload, job, JOBS_PER_UPLOAD_MAX) for upload in uploads))
        if not all(planned):
            await self._look(job)

    async def came(self, upload: str) -> None:
        """The upload has been kept."""
        for job in await self._store.files.expecting(upload):
            await self._look(job)

    async def _look(self, job: JobId) -> None:
        record = await self._store.read(job)
        wait = None if record is None else record.context.wait
        if record is None or wait is None or not wait.uploads or await not_sent(self._store.files, wait.uploads):
            return
        entry = blob(ev.event(ev.SIGNAL_RECEIVED, details={"name": wait.signal})) if self._history else ""
        item = dump_item(SignalItem(wait.signal, {}))
        # To this wait and no other: a job that has gone on keeps no signal of ours.
        reply = await self._store.signal(job, record.wave, item, entry, nonce())
        if isinstance(reply, Turn):
            await self._turns.run(reply)
