"""A worker for the search index: `python blueprints/reindex_worker.py`."""

from muster_worker import Ctx, Worker
from reindex_contracts import Document, Indexed, index_document

worker = Worker()


@worker.task(index_document)
async def index(ctx: Ctx, document: Document) -> Indexed:
    """Stands for a request to the shop and a write into the index."""
    ctx.log.info("indexing %s of %s", document.number, document.shop)
    return Indexed(words=len(document.text.split()))


if __name__ == "__main__":
    worker.run()
