"""What is made of a page lives as long as the page."""

import gc
from weakref import ref

from muster.api.shared_pages import made_once
from muster.core.ids import UnixMs
from muster.engine.journal import LogEntry, LogPage


class Made:
    pass


def test_it_is_made_once_for_all_who_have_the_page_and_goes_with_it() -> None:
    seen: list[int] = []

    @made_once
    def made(page: LogPage) -> Made:
        seen.append(page.position)
        return Made()

    line = LogEntry(1, UnixMs(1), "stdout", "x", "j.0")
    page, twin = LogPage((line,), 1), LogPage((line,), 1)
    assert made(page) is made(page)
    assert made(twin) is not made(page)
    assert seen == [1, 1]
    left = ref(made(page))
    del page
    gc.collect()
    assert left() is None
