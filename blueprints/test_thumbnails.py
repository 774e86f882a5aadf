"""How a batch is tested: `pytest blueprints/test_thumbnails.py`."""

from muster.testing import TestMuster
from thumbnails import thumbnails
from thumbnails_worker import worker


async def test_every_picture_of_a_batch_gets_its_thumbnail_and_a_bad_line_stops_nothing(muster: TestMuster) -> None:
    muster.use(worker)
    pictures = [{"path": f"{number}.jpg"} for number in range(50)]
    loaded = await muster.load_batch(thumbnails, [*pictures, {"width": 10}, {"path": "x.jpg", "width": 0}])
    assert (loaded.accepted, [(error.line, error.code) for error in loaded.errors]) == (51, [(51, "invalid_input")])
    batch = await muster.batch()
    assert batch is not None
    assert (batch.live, batch.counts) == (0, {"finished": 50, "failed": 1})
    assert muster.jobs("thumbnails")[7].result == {"path": "7.jpg.200.webp"}


async def test_a_batch_that_is_sent_twice_makes_every_thumbnail_once(muster: TestMuster) -> None:
    muster.use(worker)
    for _ in range(2):
        loaded = await muster.load_batch(thumbnails, [{"path": "a.jpg"}, {"path": "b.jpg"}])
    assert (loaded.accepted, loaded.already_there) == (0, 2)
    assert len(muster.jobs("thumbnails")) == 2
