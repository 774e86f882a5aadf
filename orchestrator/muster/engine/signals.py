"""Named signals to jobs: what somebody outside tells a job that waits for it, or will."""

from typing import Final

import orjson

from muster.core import events as ev
from muster.core.ids import is_signal_name
from muster.core.json import JsonObject
from muster.core.limits import SIGNAL_BYTES_MAX, SIGNALS_MAX
from muster.core.record import SignalItem
from muster.engine.background import Background
from muster.engine.history import blob
from muster.engine.jobs import SETTLE_S, Jobs
from muster.engine.nonces import nonce
from muster.engine.turns import Turns
from muster.errors import ErrorCode, MusterError
from muster.store.base import Refusal, Refused, Store, Turn
from muster.store.codec import dump_item

_NAMES: Final = "1 to 100 letters, digits, '.', '_', ':' or '-', the first a letter or a digit"


class Signals:
    def __init__(self, store: Store, jobs: Jobs, turns: Turns, background: Background, *, history: bool) -> None:
        self._store = store
        self._jobs = jobs
        self._turns = turns
        self._background = background
        self._history = history

    async def signal(self, tenant: str, job_id: str, name: str, data: JsonObject) -> None:
        """Give the job a signal. One that it does not wait for yet is kept until it does.

        Raises:
            MusterError: JOB_NOT_FOUND, INVALID_PARAMETER (the name), BODY_TOO_LARGE, JOB_FINAL, SIGNALS_FULL.
        """
        if not is_signal_name(name):
            raise MusterError(ErrorCode.INVALID_PARAMETER, f"{name[:200]!r} is no name of a signal", hint=_NAMES)
        size = len(orjson.dumps(data))
        if size > SIGNAL_BYTES_MAX:
            raise MusterError(
                ErrorCode.BODY_TOO_LARGE, f"the data of a signal is {size} bytes, at most {SIGNAL_BYTES_MAX} are taken",
                hint="upload a file and send its id", extra={"bytes_max": SIGNAL_BYTES_MAX},
            )  # fmt: skip
        record = await self._jobs.job(tenant, job_id)
        entry = blob(ev.event(ev.SIGNAL_RECEIVED, details={"name": name})) if self._history else ""
        item = dump_item(SignalItem(name, data))
        reply = await self._store.send(record.id, name, item, entry, nonce(), SIGNALS_MAX)
        if isinstance(reply, Turn):
            await self._background.settle(self._turns.run(reply), SETTLE_S)
        elif isinstance(reply, Refused):
            raise _refused(record.id, reply.why)


def _refused(job_id: str, why: Refusal) -> MusterError:
    if why is Refusal.FINAL:
        return MusterError(ErrorCode.JOB_FINAL, f"job {job_id} is over")
    if why is Refusal.FULL:
        return MusterError(
            ErrorCode.SIGNALS_FULL,
            f"job {job_id} keeps {SIGNALS_MAX} signals that it has not waited for yet; this one was not taken",
            hint="send it again when the job has taken some",
        )
    return MusterError(ErrorCode.JOB_NOT_FOUND, "Job not found")
