"""How workers did at what they were given here, and who is slowed for it. A hint only: lost with the process.

A slowed worker gets one task of the type at a time, after a delay that grows with each further quick failure and ends
with two good ends. What it does of other types is not touched.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from muster.core.reputation import STRIKES_MAX, Tally, delay_ms, is_black_hole, is_quick

PAIRS_MAX: Final = 50_000
"""Workers and types remembered; those longest silent go first."""
TYPES_MAX: Final = 1_000
FORGIVEN: Final = 2
"""Strikes that one good end takes away."""
USUAL_SHARE: Final = 0.2
"""How much the newest run counts in what is usual."""


@dataclass(slots=True)
class _Pair:
    """A worker at one type."""

    tally: Tally = field(default_factory=Tally)
    usual_ms: float | None = None
    strikes: int = 0
    closed_until: float = 0.0
    """Loop time."""


class Reputation:
    """*changed* is told of a worker that may take more or less than before; *slowed* of each slow-down."""

    def __init__(self, changed: Callable[[str], None], slowed: Callable[[], None] = lambda: None) -> None:
        self._changed = changed
        self._slowed = slowed
        self._pairs: OrderedDict[tuple[str, str], _Pair] = OrderedDict()
        self._types: OrderedDict[str, _Pair] = OrderedDict()
        """All workers together, by type."""
        self._strikers: dict[str, set[str]] = {}
        """Types that workers are slowed at."""
        self.to_tell: set[str] = set()
        """Workers of whom other replicas should be told something new."""

    def ended(self, worker: str, kind: str, ran_ms: int, *, good: bool, own_fault: bool = True) -> None:
        """A task's end. A failure that is not *own_fault* of the worker, or took its time, is not held against it."""
        pair, everyone = self._pair(worker, kind), self._everyone(kind)
        if not good and not (own_fault and is_quick(ran_ms, everyone.usual_ms)):
            return
        loop = asyncio.get_running_loop()
        now = int(loop.time() * 1000)
        pair.tally, everyone.tally = pair.tally.counted(now, good=good), everyone.tally.counted(now, good=good)
        if good:
            for timed in (pair, everyone):
                usual = ran_ms if timed.usual_ms is None else timed.usual_ms
                timed.usual_ms = usual + USUAL_SHARE * (ran_ms - usual)
            if pair.strikes:
                self._set_strikes(worker, kind, pair, max(0, pair.strikes - FORGIVEN), is_open=True)
        elif is_black_hole(pair.tally, everyone.tally.without(pair.tally, now)):
            self._slowed()
            self._set_strikes(worker, kind, pair, min(STRIKES_MAX, pair.strikes + 1), is_open=False)

    def handed_out(self, worker: str, kind: str) -> None:
        """A slowed worker got its probe: no other before that ends, or its delay."""
        if kind in self._strikers.get(worker, ()):
            self._close(worker, self._pair(worker, kind))

    def _set_strikes(self, worker: str, kind: str, pair: _Pair, strikes: int, *, is_open: bool) -> None:
        pair.strikes = strikes
        self.to_tell.add(worker)
        if strikes:
            self._strikers.setdefault(worker, set()).add(kind)
        else:
            self._strikers.get(worker, set()).discard(kind)
            if not self._strikers.get(worker):
                self._strikers.pop(worker, None)
        if is_open:
            pair.closed_until = 0.0
            self._changed(worker)
        else:
            self._close(worker, pair)

    def _close(self, worker: str, pair: _Pair) -> None:
        loop = asyncio.get_running_loop()
        wait_s = delay_ms(pair.strikes) / 1000
        pair.closed_until = loop.time() + wait_s
        loop.call_later(wait_s + 0.001, self._changed, worker)
        self._changed(worker)

    # What is known

    def closed(self, worker: str) -> tuple[str, ...]:
        """Types the worker must not get now."""
        kinds = self._strikers.get(worker)
        if not kinds:
            return ()
        now = asyncio.get_running_loop().time()
        return tuple(kind for kind in kinds if self._pair(worker, kind).closed_until > now)

    def slowed(self, worker: str) -> Mapping[str, int]:
        """Ms between tasks of a type, of those it is slowed at."""
        return {kind: delay_ms(self._pair(worker, kind).strikes) for kind in sorted(self._strikers.get(worker, ()))}

    def strikes(self, worker: str) -> Mapping[str, list[float | None]]:
        """Strikes and the usual ms, of types it is slowed at."""
        pairs = {kind: self._pair(worker, kind) for kind in sorted(self._strikers.get(worker, ()))}
        return {kind: [pair.strikes, pair.usual_ms] for kind, pair in pairs.items()}

    def usual_ms(self, worker: str, kind: str) -> float | None:
        """How long a task of the type takes at the worker, where it ended one well."""
        pair = self._pairs.get((worker, kind))
        return None if pair is None else pair.usual_ms

    def record(self, worker: str) -> str:
        """For other replicas: strikes and usual ms by type."""
        return orjson.dumps(self.strikes(worker)).decode()

    def hear(self, worker: str, record: str) -> None:
        """What another replica saw of a worker of whom this one has seen nothing yet."""
        for kind, (strikes, usual_ms) in orjson.loads(record).items():
            if (worker, kind) not in self._pairs and strikes:
                pair = self._pair(worker, kind)
                pair.usual_ms, pair.strikes = usual_ms, min(int(strikes), STRIKES_MAX)
                self._strikers.setdefault(worker, set()).add(kind)
                self._close(worker, pair)

    def _pair(self, worker: str, kind: str) -> _Pair:
        pair = self._pairs.get((worker, kind))
        if pair is None:
            pair = self._pairs[worker, kind] = _Pair()
            if len(self._pairs) > PAIRS_MAX:
                (silent, of), _ = self._pairs.popitem(last=False)
                self._strikers.get(silent, set()).discard(of)
        else:
            self._pairs.move_to_end((worker, kind))
        return pair

    def _everyone(self, kind: str) -> _Pair:
        everyone = self._types.setdefault(kind, _Pair())
        self._types.move_to_end(kind)
        if len(self._types) > TYPES_MAX:
            self._types.popitem(last=False)
        return everyone
