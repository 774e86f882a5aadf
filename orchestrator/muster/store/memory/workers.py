"""Registered workers and notes for them, in the model."""

from collections.abc import Callable, Mapping, Sequence

NOTES_TTL_MS = 3_600_000
KEPT = ("socket", "order", "order_slots", "record")


class Workers:
    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._fields: dict[str, dict[str, str]] = {}
        self._ends: dict[str, int] = {}
        self._cancels: dict[str, tuple[set[str], int]] = {}

    def known(self, worker: str) -> dict[str, str] | None:
        if self._ends.get(worker, 0) <= self._now():
            self._fields.pop(worker, None)
        return self._fields.get(worker)

    def register(self, worker: str, ttl_ms: int, fields: Mapping[str, str]) -> None:
        """Starts from a clean description; where its socket is, what was ordered and how it did stay known."""
        before = self.known(worker) or {}
        stamp = str(self._now())
        self._fields[worker] = {**fields, "registered_at": stamp, "last_seen_at": stamp}
        self._fields[worker].update({name: before[name] for name in KEPT if name in before})
        self._ends[worker] = self._now() + ttl_ms

    def beat(
        self, worker: str, ttl_ms: int, fields: Mapping[str, str]
    ) -> tuple[dict[str, str], tuple[str, ...]] | None:
        known = self.known(worker)
        if known is None:
            return None
        known.update(fields, last_seen_at=str(self._now()))
        self._ends[worker] = self._now() + ttl_ms
        return dict(known), self.cancels(worker)

    def touch(self, ttl_ms: int, workers: Sequence[str]) -> tuple[str, ...]:
        return tuple(worker for worker in workers if self.beat(worker, ttl_ms, {}) is None)

    def all(self) -> tuple[dict[str, str], ...]:
        known = [(self._ends[worker], worker) for worker in list(self._fields) if self.known(worker) is not None]
        return tuple(dict(self._fields[worker]) for _, worker in sorted(known))

    def ask_cancel(self, worker: str, tasks: Sequence[str]) -> None:
        self._cancels[worker] = ({*self.cancels(worker), *tasks}, self._now() + NOTES_TTL_MS)

    def cancels(self, worker: str) -> tuple[str, ...]:
        tasks, ends_at = self._cancels.get(worker, (set(), 0))
        return tuple(sorted(tasks)) if ends_at > self._now() else ()

    def forget_cancel(self, worker: str, task: str) -> None:
        if worker in self._cancels:
            self._cancels[worker][0].discard(task)
