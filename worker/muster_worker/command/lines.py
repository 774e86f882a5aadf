"""Bytes of a stream become lines, in bounded memory."""

from collections.abc import Iterator
from typing import Final

LINE_BYTES_MAX: Final = 65_536
"""A longer line comes in pieces of at most this."""
_CHARACTER_BYTES_MAX: Final = 4


class LineSplitter:
    """Feed it chunks in order; it holds at most one unfinished line.

    Lines come without their end (LF or CR LF), as UTF-8 with replacements. A piece never ends inside a character.
    """

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[str]:
        first, *others = chunk.split(b"\n")
        if not others:
            yield from self._hold(first)
            return
        yield from _pieces(self._rest + first)
        self._rest = b""
        for line in others[:-1]:
            yield from _pieces(line)
        yield from self._hold(others[-1])

    def end(self) -> Iterator[str]:
        """What stood behind the last line end."""
        rest, self._rest = self._rest, b""
        if rest:
            yield from _pieces(rest)

    def _hold(self, more: bytes) -> Iterator[str]:
        rest = self._rest + more
        while len(rest) > LINE_BYTES_MAX + 1:  # one more, as a last CR may belong to the line's end
            cut = _cut(rest)
            yield _text(rest[:cut])
            rest = rest[cut:]
        self._rest = rest


def _pieces(line: bytes) -> Iterator[str]:
    line = line.removesuffix(b"\r")
    while len(line) > LINE_BYTES_MAX:
        cut = _cut(line)
        yield _text(line[:cut])
        line = line[cut:]
    yield _text(line)


def _cut(line: bytes) -> int:
    """Where to cut a line that is too long: before the character that the bound would split."""
    for cut in range(LINE_BYTES_MAX, LINE_BYTES_MAX - _CHARACTER_BYTES_MAX, -1):
        if line[cut] & 0xC0 != 0x80:  # not the inside of a character
            return cut
    return LINE_BYTES_MAX


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")
