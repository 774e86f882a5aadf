"""What must be true of quotas and unique keys between any two calls."""

from collections.abc import Iterator, Mapping

from tests.support.dump import Dump


def wrong_admissions(jobs: Mapping[str, Mapping[str, str]], dump: Dump) -> Iterator[str]:
    """A client counts its live jobs and those that have not begun; a key is held by a job that lives, or expires."""
    live = {job: fields for job, fields in jobs.items() if fields["fin"] == "0" and "ad" in fields}
    clients = {fields["ad"].partition("|")[0] for fields in live.values()} - {""}
    quotas = dict(dump.of("qu:"))
    for client in clients | quotas.keys():
        mine = [fields for fields in live.values() if fields["ad"].partition("|")[0] == client]
        counted = quotas[client].value if client in quotas else {}
        queued = sum(fields["sa"] == "" for fields in mine)
        if int(counted.get("live", 0)) != len(mine) or int(counted.get("queued", 0)) != queued:
            yield f"client {client} counts {counted}, there are {len(mine)} live jobs, {queued} of them queued"
        if client in quotas and (quotas[client].ttl_ms is None) != bool(mine):
            yield f"the counts of client {client} with {len(mine)} live jobs live {quotas[client].ttl_ms} ms"
    for key, entry in dump.of("u:"):
        holder = live.get(entry.value)
        if entry.ttl_ms is None and (holder is None or holder["ad"].partition("|")[2] != key):
            yield f"unique key {key} is held by {entry.value}, which does not live or has it not"
