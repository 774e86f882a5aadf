"""What must be true of batches between any two calls."""

from collections import Counter
from collections.abc import Iterator, Mapping

from muster.core.status import JobStatus

from tests.support.dump import Dump


def stood(fields: Mapping[str, str]) -> str:
    """The status of a job; of a paused one that which it goes on with."""
    return fields["pz"].split("|")[1] if fields["st"] == JobStatus.PAUSED else fields["st"]


def wrong_batches(jobs: Mapping[str, Mapping[str, str]], dump: Dump) -> Iterator[str]:
    """A batch counts its jobs as they are, and expires where none of them lives; its lists hold nobody else's."""
    batches = dict(dump.of("ba:"))
    for batch, entry in batches.items():
        mine = [fields for fields in jobs.values() if fields.get("ba", "").partition("|")[0] == batch]
        real = Counter(stood(fields) for fields in mine)
        counted = {name[2:]: int(count) for name, count in entry.value.items() if name.startswith("s:")}
        for status in {*real, *counted}:
            gone_may_be = JobStatus(status).is_final
            count = counted.get(status, 0)
            if count < real[status] or (count > real[status] and not gone_may_be):
                yield f"batch {batch} counts {count} jobs as {status}, there are {real[status]}"
        live = sum(count for status, count in real.items() if not JobStatus(status).is_final)
        if int(entry.value["live"]) != live:
            yield f"batch {batch} counts {entry.value['live']} live jobs, there are {live}"
        if (entry.ttl_ms is None) != (live > 0):
            yield f"batch {batch} has {live} live jobs, and its time to live is {entry.ttl_ms}"
        if sum(counted.values()) != int(entry.value["n"]):
            yield f"batch {batch} has {entry.value['n']} jobs, and counts {sum(counted.values())}"
    yield from (f"jobs of batch {batch}, which is none" for batch, _ in dump.of("bm:") if batch not in batches)
    waiting = {batch for batch, _ in dump.of("bq:")}
    if waiting != {batch for batch, _ in dump.value("bl").items()}:
        yield f"batches {waiting} have jobs that wait for their first turn, the list has others"
