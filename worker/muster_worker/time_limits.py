"""The four limits of a task's time, as contracts and blueprints give them."""

from dataclasses import dataclass
from typing import TypedDict

from muster_worker.durations import Duration, parse_duration_ms
from muster_worker.retry_policy import PAUSE_MS_MAX, RetryPolicy


class Limits(TypedDict, total=False):
    """What `task(...)`, `job.run(...)`, `job.map(...)` and `job.together(...)` take beside the timeout and retries.

    Attributes:
        retry: when a failed attempt is tried again; `retries=3` is short for `RetryPolicy(retries=3)`.
        schedule_to_start: longest wait of a ready task for a worker that fetches it.
        schedule_to_close: longest time from the task's making to its end, over all attempts and pauses.
        heartbeat: longest silence of a running handler: time between two calls of `ctx.progress` or `ctx.heartbeat`.
    """

    retry: RetryPolicy | None
    schedule_to_start: Duration | None
    schedule_to_close: Duration | None
    heartbeat: Duration | None


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """In ms; None: no such limit. `timeout_ms`, start to close, None: the server's default.

    Raises:
        ValueError: for a limit that is 0 or longer than a year, or that another one makes useless.
    """

    timeout_ms: int | None = None
    schedule_to_start_ms: int | None = None
    schedule_to_close_ms: int | None = None
    heartbeat_ms: int | None = None

    def __post_init__(self) -> None:
        for name, ms in self._given():
            if not 0 < ms <= PAUSE_MS_MAX:
                raise ValueError(f"{name} must be more than 0 and at most a year, not {ms / 1000:g} s")
        self._check(self.schedule_to_start_ms, "schedule_to_start", self.schedule_to_close_ms, "schedule_to_close")
        self._check(self.heartbeat_ms, "heartbeat", self.timeout_ms, "timeout")
        self._check(self.heartbeat_ms, "heartbeat", self.schedule_to_close_ms, "schedule_to_close")

    def _given(self) -> list[tuple[str, int]]:
        every = {
            "timeout": self.timeout_ms,
            "schedule_to_start": self.schedule_to_start_ms,
            "schedule_to_close": self.schedule_to_close_ms,
            "heartbeat": self.heartbeat_ms,
        }
        return [(name, ms) for name, ms in every.items() if ms is not None]

    @staticmethod
    def _check(shorter: int | None, name: str, longer: int | None, other: str) -> None:
        if shorter is not None and longer is not None and shorter > longer:
            raise ValueError(
                f"{name} of {shorter / 1000:g} s is longer than {other} of {longer / 1000:g} s and would never pass"
            )

    @classmethod
    def of(
        cls,
        timeout: Duration | None,
        schedule_to_start: Duration | None = None,
        schedule_to_close: Duration | None = None,
        heartbeat: Duration | None = None,
    ) -> "TimeLimits":
        return cls(_ms(timeout), _ms(schedule_to_start), _ms(schedule_to_close), _ms(heartbeat))

    def over(self, other: "TimeLimits") -> "TimeLimits":
        """These, and those of *other* where none is given here."""
        return TimeLimits(
            other.timeout_ms if self.timeout_ms is None else self.timeout_ms,
            other.schedule_to_start_ms if self.schedule_to_start_ms is None else self.schedule_to_start_ms,
            other.schedule_to_close_ms if self.schedule_to_close_ms is None else self.schedule_to_close_ms,
            other.heartbeat_ms if self.heartbeat_ms is None else self.heartbeat_ms,
        )


def deadline_ms_of(deadline: Duration) -> int:
    """A job's deadline in ms from its start. Raises ValueError for one that is not more than 0 and at most a year."""
    ms = parse_duration_ms(deadline)
    if not 0 < ms <= PAUSE_MS_MAX:
        raise ValueError(f"deadline must be more than 0 and at most a year, not {deadline!r}")
    return ms


def _ms(value: Duration | None) -> int | None:
    return None if value is None else parse_duration_ms(value)
