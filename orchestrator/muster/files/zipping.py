"""Many files as one zip, made while it is sent: no more of it is in memory than a few blocks."""

import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from muster.files.blobs import Open

READ_BYTES: Final = 256 * 1024
COMPRESSION_LEVEL: Final = 1
"""Fast: what compresses well does so at any level, and what is compressed already must not cost time."""
FIRST_DATE: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """A file for a zip. `date` is year, month, day, hour, minute, second."""

    name: str
    open: Open
    date: tuple[int, int, int, int, int, int] = FIRST_DATE


def zip_blocks(entries: Iterable[ZipEntry]) -> Iterator[bytes]:
    """The zip's bytes, block by block. A file that has gone meanwhile is left out. Blocks: run it in a thread."""
    stream = _Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION_LEVEL) as archive:
        for entry in entries:
            try:
                source = entry.open()
            except FileNotFoundError:
                continue
            info = zipfile.ZipInfo(entry.name, entry.date)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            with source, archive.open(info, "w", force_zip64=True) as target:
                while block := source.read(READ_BYTES):
                    target.write(block)
                    yield from stream.take(READ_BYTES)
    yield from stream.take(1)


def distinct_names(names: Sequence[str]) -> list[str]:
    """*names* in order; one that came before gets a number in front of its suffix.

    >>> distinct_names(["a.txt", "b", "a.txt"])
    ['a.txt', 'b', 'a.2.txt']
    """
    taken = set(names)
    used: set[str] = set()
    return [_unused(name, taken, used) for name in names]


def _unused(name: str, taken: set[str], used: set[str]) -> str:
    chosen, number = name, 1
    stem, dot, suffix = name.rpartition(".")
    while chosen in used or (number > 1 and chosen in taken):
        number += 1
        chosen = f"{stem}.{number}.{suffix}" if dot and stem else f"{name}.{number}"
    used.add(chosen)
    return chosen


class _Stream(io.RawIOBase):
    """What zipfile writes to: it cannot seek, and is emptied on the way."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        before = len(self._waiting)
        self._waiting += memoryview(data)  # type: ignore[arg-type]  # any buffer
        return len(self._waiting) - before

    def take(self, bytes_min: int) -> Iterator[bytes]:
        """What was written since, where it is at least so much."""
        if len(self._waiting) >= bytes_min:
            block = bytes(self._waiting)
            self._waiting.clear()
            yield block
