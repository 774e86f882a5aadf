"""How the renders blueprint is tested: the kit's worker has whatever a task needs."""

from muster.testing import TestMuster
from renders import renders
from renders_contracts import Scene
from renders_worker import worker


async def test_a_scene_is_rendered_and_gets_a_thumbnail(muster: TestMuster) -> None:
    muster.use(worker)
    job = await muster.run(renders, Scene(film="up", number=3))
    assert job.result == {"thumbnail": "/frames/up/3/thumbnail.png"}


def test_the_worker_has_what_rendering_needs() -> None:
    from muster.core.matching import Requirement, meets
    from muster.engine.offers import offer_of
    from renders_contracts import render

    needs = render.where["needs"]
    assert needs is not None
    has = offer_of("w1", ["video.render"], 0.001, {"labels": {"gpu": "a100"}}, {"vram": "40GB"})
    assert meets(Requirement("video.render", needs.rules()), has)
