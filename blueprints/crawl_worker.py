"""A worker for the crawler: `python blueprints/crawl_worker.py`."""

from crawl_contracts import Page, Words, fetch_page
from muster_worker import Ctx, Worker

worker = Worker()


@worker.task(fetch_page)
async def fetch(ctx: Ctx, page: Page) -> Words:
    """Stands for a request to the site."""
    ctx.log.info("fetching %s", page.url)
    return Words(count=len(page.url))


if __name__ == "__main__":
    worker.run()
