"""Every Redis key: how it is spelled, its type, and how long it lives.

All keys of one job carry one hash tag, so that a job lives wholly in one slot of a cluster. The scripts get the
tag as KEYS[1] and spell the rest the same way; `tests/store` asserts that no other key ever appears.
User strings never appear in a key: they are hashed by `short_hash`.
"""

import hashlib
from base64 import b32encode
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

Lifetime = Literal["structure", "live", "expires"]
"""`structure`: bounded by configuration, never expires. `live`: belongs to a job that is not final, or to a task,
message or timer of one; removed with it. `expires`: carries a TTL."""

SLOTS: Final = 16_384


@dataclass(frozen=True, slots=True)
class KeyKind:
    pattern: str
    type: str
    lifetime: Lifetime
    holds: str


KEY_KINDS: Final = (
    KeyKind("j:<job>", "hash", "live", "the job; expires once it is final"),
    KeyKind("i:<job>", "list", "live", "mailbox of the current wave"),
    KeyKind("e:<job>", "list", "live", "results of a fan that is still being spawned"),
    KeyKind("h:<job>", "list", "live", "history; expires once the job is final"),
    KeyKind("lg:<job>", "zset", "live", "log: chunks by their first line's number; expires once the job is final"),
    KeyKind("sp:<job>", "hash", "live", "steps by task and index; expires once the job is final"),
    KeyKind("md:<job>", "hash", "live", "metadata that tasks told; expires once the job is final"),
    KeyKind("sb:<job>", "hash", "live", "signals nobody waits for yet, by name and order; gone with the job's end"),
    KeyKind("jt:<job>", "set", "live", "numbers of a fan's live tasks (a single task is in the header)"),
    KeyKind("en:<job>", "hash", "live", "what states were entered with, by state; expires once the job is final"),
    KeyKind("pk:<job>", "set", "live", "numbers of tasks that were found ready while the job is paused"),
    KeyKind("t:<task>", "hash", "live", "one live task"),
    KeyKind("q:<class>", "zset", "live", "flows with ready tasks, by ticket and band"),
    KeyKind("f:<class>|<flow>", "zset", "live", "ready tasks of one flow, by age and band"),
    KeyKind("V", "hash", "structure", "virtual time of each class"),
    KeyKind("vt:<class>", "zset", "expires", "tenants by the start of their next ticket"),
    KeyKind("gl", "hash", "structure", "policies by gate"),
    KeyKind("g:<gate>", "zset", "live", "tasks that hold the gate's slots, by when they took them"),
    KeyKind("gh", "set", "live", "gates whose slots somebody holds"),
    KeyKind("gr:<gate>", "string", "expires", "when the gate's next task would come if all came evenly (microseconds)"),
    KeyKind("gf:<gate>|<class>", "zset", "live", "flows that are parked at the gate, by their tickets"),
    KeyKind("gp", "hash", "live", "flows by class that are parked, and at which gate"),
    KeyKind("gw:<gate>", "zset", "live", "classes that the gate shut, by since when"),
    KeyKind("go:<class>", "zset", "live", "gates that opened again and have parked flows of the class"),
    KeyKind("gd", "hash", "structure", "limits as they were set (global tag)"),
    KeyKind("cls", "hash", "structure", "class id to task type"),
    KeyKind("n", "hash", "structure", "number of jobs by status"),
    KeyKind("L", "zset", "live", "leased tasks by deadline"),
    KeyKind("D", "zset", "live", "jobs whose turn is due, or runs until then"),
    KeyKind("tm", "zset", "live", "timers"),
    KeyKind("wt:<class>", "zset", "expires", "replicas that wait for work of the class"),
    KeyKind("ob:<message>", "hash", "live", "a webhook, or a word between a job and its spread child, to be delivered"),
    KeyKind("k:<key>", "string", "expires", "idempotency key to job"),
    KeyKind("xr:<tenant>", "zset", "live", "index of live jobs by creation"),
    KeyKind("xf:<day>:<tenant>", "zset", "expires", "index of final jobs by end"),
    KeyKind("xb:<day>:<tenant>", "zset", "expires", "index of jobs that ended without a result, by end"),
    KeyKind("xe:<day>:<tenant>:<print>", "zset", "expires", "index of jobs with an error of that fingerprint, by end"),
    KeyKind("er:<day>:<tenant>", "hash", "expires", "jobs by the fingerprint of their error, of those over on the day"),
    KeyKind("tw:<tenant>", "string", "expires", "replicas that are told of every change of the tenant's jobs"),
    KeyKind("xl:<tenant>:<tag>", "zset", "live", "index of live jobs of a tag by creation"),
    KeyKind("xt:<tenant>:<tag>", "zset", "expires", "index of final jobs of a tag by creation"),
    KeyKind("xa:<tenant>", "zset", "live", "index of jobs that ask people, by when they asked"),
    KeyKind("bj:<version>", "zset", "live", "index of live jobs of a version of a blueprint by creation"),
    KeyKind("co:<day>:<tenant>", "hash", "expires", "jobs, ms run and cost by meter, of jobs created on the day"),
    KeyKind("du:<tenant>:<meter>", "list", "expires", "how long the last finished jobs of a meter took, newest first"),
    KeyKind("fa:<job>", "hash", "live", "artifacts of the job; expires once it is final"),
    KeyKind("qu:<client>", "hash", "live", "a client's live and queued jobs, and its rate; expires without live ones"),
    KeyKind("u:<key>", "string", "live", "unique key to the job that has it; gone with its end, or expires"),
    KeyKind("de:<key>", "string", "expires", "debounce key to the job that has not begun, and since when"),
    KeyKind("ba:<batch>", "hash", "live", "a batch that came as a stream: its counts; expires once no job of it lives"),
    KeyKind("bm:<batch>", "zset", "live", "its jobs by line; expires with it"),
    KeyKind("bq:<batch>", "list", "live", "its jobs that wait for their first turn"),
    KeyKind("bl", "zset", "live", "batches with such jobs, whose turn it is first"),
    KeyKind("up:<upload>", "hash", "expires", "a client's upload (global tag)"),
    KeyKind("fq:<tenant>", "hash", "structure", "sizes of the tenant's files and their sum; bounded (global tag)"),
    KeyKind("rq", "hash", "structure", "requirements of classes that ask more than a type; bounded (global tag)"),
    KeyKind("ru", "zset", "structure", "until when each of these is in use (global tag)"),
    KeyKind("cn:<tenant>", "hash", "structure", "the tenant's saved connections by name; bounded (global tag)"),
    KeyKind("ct", "hash", "structure", "tenants that have any; the empty field counts changes (global tag)"),
    KeyKind("sl", "string", "expires", "the replica that runs schedules (global tag)"),
    KeyKind("ss", "hash", "structure", "what became of each schedule's last slot (global tag)"),
    KeyKind("sn:<schedule>", "zset", "structure", "what became of a schedule's newest slots; bounded (global tag)"),
    KeyKind("sz", "hash", "structure", "which schedules are paused, and why (global tag)"),
    KeyKind("sf", "hash", "structure", "the last backfill of each schedule (global tag)"),
    KeyKind("meta", "hash", "structure", "schema version and shared secret (global tag)"),
    KeyKind("bp", "hash", "structure", "published blueprint graphs (global tag)"),
    KeyKind("bh", "hash", "structure", "what is known of each blueprint that is data or steered; bounded (global tag)"),
    KeyKind("bv", "hash", "structure", "versions of blueprints that are data; bounded (global tag)"),
    KeyKind("w:<worker>", "hash", "expires", "a registered worker (global tag)"),
    KeyKind("wc:<worker>", "set", "expires", "tasks the worker should cancel (global tag)"),
    KeyKind("ws", "zset", "live", "workers by the end of their registration (global tag)"),
)


def crc16(data: bytes) -> int:
    """CRC-16/XMODEM, the cluster's slot hash (redis.io/docs/reference/cluster-spec, appendix A)."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021) & 0xFFFF if crc & 0x8000 else (crc << 1) & 0xFFFF
    return crc


@lru_cache(maxsize=8)
def partition_tags(namespace: str, partitions: int) -> tuple[str, ...]:
    """One hash tag a partition, spread over equal ranges of the slots, so that any equal cluster gets equal shares."""
    width = SLOTS / partitions
    return tuple(_tag_in_range(namespace, p, int(p * width), int((p + 1) * width)) for p in range(partitions))


def _tag_in_range(namespace: str, partition: int, low: int, high: int) -> str:
    suffix = 0
    while True:
        name = f"{namespace}{partition}.{suffix}"
        if low <= crc16(name.encode()) % SLOTS < high:
            return "{" + name + "}"
        suffix += 1


def global_tag(namespace: str) -> str:
    return "{" + namespace + ".g}"


def meter_hash(meter: str) -> str:
    """The hash that scripts can make themselves."""
    return hashlib.sha1(meter.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()[:16]


def version_hash(blueprint: str, version: str) -> str:
    """Of a version of a blueprint; the scripts make it themselves."""
    return meter_hash(f"{blueprint}|{version}")


EVERYBODY: Final = "all"
"""Stands for a replica in the name of a channel: all of them listen."""


def wake_channel(tag: str, replica: str) -> str:
    return f"{tag}!{replica}"


@lru_cache(maxsize=65_536)
def short_hash(text: str) -> str:
    """80 bits of blake2b in base32: what stands for a user's string in a key."""
    return b32encode(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=10).digest()).decode().lower()
