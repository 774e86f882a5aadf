"""A search index that many shops feed: no shop slows another, none is asked too often, and nothing is done twice.

`edit` indexes one document. Whoever starts it with a debounce key indexes a burst of edits once, with the newest text:

    muster job start edit -i '{"shop": "tea", "number": 7, "text": "green"}' --debounce-key tea-7 --debounce 5

`resync` indexes a whole shop again, behind all edits (a lower priority), three documents at once. With a unique key
a shop has one of them at most:

    muster job start resync -i '{"name": "tea", "documents": 500}' --unique-key tea

Both stand under the concurrency key of their shop. How many run at once and how fast is set from outside, and may be
changed while thousands wait:

    muster limit set key 'shop:*' --max 2            # of each shop two at a time
    muster limit set key 'shop:tea' --rate 1 --per 1s  # this one is slow: its own limit comes before the group's
    muster limit set task search.index --max 50
    muster queue pause search.index                  # the index is being moved
"""

from muster import Blueprint, Job, Next, finished
from reindex_contracts import Document, Indexed, Shop, index_document

edit = Blueprint("edit", input=Document, description="Index one document that was edited.")
resync = Blueprint("resync", input=Shop, description="Index all documents of a shop again.")

AT_ONCE = 3
BEHIND = -1


def shop_of(document: Document) -> str:
    """The concurrency key of a document."""
    return f"shop:{document.shop}"


@edit.start
async def begin(job: Job[Document]) -> Next:
    return job.run(index_document, job.input, ok=finished, key=shop_of(job.input))


@resync.start
async def begin_all(job: Job[Shop]) -> Next:
    documents = [Document(shop=job.input.name, number=number) for number in range(job.input.documents)]
    return job.map(index_document, documents, ok=counted, key=shop_of, at_once=AT_ONCE, priority=BEHIND)


@resync.state
async def counted(job: Job[Shop], documents: list[Indexed]) -> Next:
    return job.done({"documents": len(documents)})
