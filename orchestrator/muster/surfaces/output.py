"""What a job's tasks printed, as two texts: for surfaces that answer with the output whole."""

from dataclasses import dataclass
from typing import Final

from muster.api.ports import Engine

TEXT_BYTES_MAX: Final = 1_048_576
"""Of each of the two texts; what comes after it is left out."""
PAGE_LINES: Final = 5_000


@dataclass(slots=True)
class _Text:
    lines: list[str]
    size: int = 0
    is_full: bool = False

    def add(self, line: str) -> None:
        self.size += len(line.encode("utf-8", "surrogatepass")) + 1
        if self.is_full or self.size > TEXT_BYTES_MAX:
            self.is_full = True
        else:
            self.lines.append(line + "\n")


@dataclass(frozen=True, slots=True)
class CollectedOutput:
    """Each line ends with a line end. `is_truncated`: one of them was longer, or lines were dropped."""

    stdout: str
    stderr: str
    is_truncated: bool


async def collected_output(engine: Engine, tenant: str, job_id: str) -> CollectedOutput:
    """What there is so far.

    Raises:
        MusterError: JOB_NOT_FOUND.
    """
    texts = {"stdout": _Text([]), "stderr": _Text([])}
    after, dropped = 0, 0
    while True:
        page = await engine.logs(tenant, job_id, after=after, limit=PAGE_LINES, stream=None)
        dropped += page.dropped
        for entry in page.items:
            dropped += entry.dropped
            if entry.stream in texts:
                texts[entry.stream].add(entry.text)
        if page.is_last or page.position == after or all(text.is_full for text in texts.values()):
            break
        after = page.position
    truncated = dropped > 0 or any(text.is_full for text in texts.values())
    return CollectedOutput("".join(texts["stdout"].lines), "".join(texts["stderr"].lines), truncated)
