"""How limits are tested: they are set as an operator would set them. `pytest blueprints/test_crawl.py`."""

from crawl import crawl
from crawl_contracts import Words, fetch_page
from crawl_worker import worker
from muster.testing import TestMuster

URLS = [f"https://{site}.example/{page}" for site in ("a", "b") for page in range(5)]


async def test_all_pages_are_counted(muster: TestMuster) -> None:
    muster.add(crawl)
    muster.use(worker)
    job = await muster.run(crawl, {"urls": URLS})
    assert job.result == {"words": sum(map(len, URLS))}


async def test_each_site_is_asked_at_its_own_pace(muster: TestMuster) -> None:
    muster.add(crawl)
    muster.on(fetch_page, Words(count=1))
    await muster.limit("key", "site:*", rate=1, per="1h")
    job = await muster.start(crawl, {"urls": URLS})
    await muster.advance("1m")
    assert len(muster.calls(fetch_page)) == 2  # one of each site
    await muster.advance("4h")
    assert job.status == "finished"
