"""A crawler that is polite: pages of all sites at once, at most twenty, and each site at its own pace.

The pace is a limit of the keys `site:*`, which a client may set for itself and change while jobs run:

    muster limit set key 'site:*' --rate 1 --per 1s
"""

from urllib.parse import urlsplit

from crawl_contracts import Page, Urls, Words, fetch_page
from muster import Blueprint, Job, Next

crawl = Blueprint("crawl", input=Urls, description="Count the words of pages, site by site in parallel.")

AT_ONCE = 20


def site_of(page: Page) -> str:
    """The concurrency key of a page."""
    return f"site:{urlsplit(page.url).hostname or 'unknown'}"


@crawl.start
async def begin(job: Job[Urls]) -> Next:
    pages = [Page(url=url) for url in job.input.urls]
    return job.map(fetch_page, pages, ok=counted, key=site_of, at_once=AT_ONCE)


@crawl.state
async def counted(job: Job[Urls], pages: list[Words]) -> Next:
    return job.done({"words": sum(page.count for page in pages)})
