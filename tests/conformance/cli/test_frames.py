"""Which frames a reader is sent. No server."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from muster.api.client_socket import KEEP_ALIVE_S
from muster.core.ids import JobId, UnixMs
from muster.engine.journal import LogEntry
from muster.engine.live_events import LineCame, LinePlace
from muster.store.journal import Stream
from muster.surfaces.cli import live
from muster.surfaces.cli.frames import KEEP_ALIVE, KEYS, chosen, filtered, frames_of


def line(text: str, stream: Stream = "stdout", dropped: int = 0) -> LineCame:
    return LineCame(JobId("j"), LogEntry(1, UnixMs(0), stream, text, "j.0", dropped), None, LinePlace(1, 0))


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (None, KEYS),
        ("", KEYS),
        ("nonsense", KEYS),
        ("progress", {"progress"}),
        (" stdout , nonsense,stderr", {"stdout", "stderr"}),
    ],
)
def test_a_reader_chooses_keys_and_unknown_ones_are_ignored(text: str | None, keys: set[str]) -> None:
    assert chosen(text) == keys


def test_a_filter_takes_the_others_of_the_three_keys_and_nothing_else() -> None:
    assert filtered({"stdout": "a", "progress": 0.5, "status": "x"}, frozenset({"progress"})) == {
        "progress": 0.5,
        "status": "x",
    }
    assert filtered({"stdout": "a"}, frozenset({"progress"})) == {}


def test_lines_become_frames_and_lines_that_tell_a_progress_two() -> None:
    events = [
        line("a"),
        line("META:progress:0.5"),
        line("META:progress:7"),
        line("META:progress:x"),
        line("META:rows:1"),
    ]
    events += [line("META:progress:0.1", "stderr"), line("3 lines are gone", "notice", 3)]
    assert list(frames_of(events, has_markers=True)) == [
        {"stdout": "a\n"},
        {"stdout": "META:progress:0.5\n"},
        {"progress": 0.5},
        {"stdout": "META:progress:7\n"},
        {"progress": 1.0},
        {"stdout": "META:progress:x\n"},
        {"stdout": "META:rows:1\n"},
        {"stderr": "META:progress:0.1\n"},
        {"dropped": 3},
    ]
    assert list(frames_of([line("META:progress:0.5")], has_markers=False)) == [{"stdout": "META:progress:0.5\n"}]


async def test_a_reader_who_is_sent_nothing_is_sent_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEEP_ALIVE_S == 15
    monkeypatch.setattr(live, "KEEP_ALIVE_S", 0.05)
    go_on = asyncio.Event()

    async def batches() -> AsyncGenerator[list[Any], None]:
        yield [{"stdout": "not chosen\n"}, {"stderr": "first\n"}]
        await go_on.wait()
        yield [{"stderr": "second\n"}]

    told = live._with_signs_of_life(batches(), frozenset({"stderr"}))
    assert [await anext(told) for _ in range(3)] == [{"stderr": "first\n"}, KEEP_ALIVE, KEEP_ALIVE]
    go_on.set()
    assert [frame async for frame in told if frame != KEEP_ALIVE] == [{"stderr": "second\n"}]
