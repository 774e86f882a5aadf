"""Versions of blueprints that are data, on replicas of one store."""

from typing import Any

import pytest
from muster.blueprint import Blueprint
from muster.blueprint.registry import Registry
from muster.core.ids import UnixMs
from muster.engine.versions import Versions
from muster.errors import ErrorCode, MusterError
from muster.store.base import Store
from muster.store.memory import MemoryState, MemoryStore

from tests.support.samples import commit_of, committed, first_turn

SPEC: dict[str, Any] = {"start": "a", "states": {"a": {"done": 1}}}
KEEP_MS = 1_000


class Replica:
    def __init__(self, store: Store) -> None:
        self.now = 0
        self.registry = Registry()
        self.versions = Versions(store, self.registry, lambda: UnixMs(self.now), KEEP_MS)

    async def put(self, **more: Any) -> str:
        saved = await self.versions.put(self.versions.draft("flow", {**SPEC, **more}), by="ann")
        return saved.blueprint.version


async def test_a_replica_that_heard_nothing_learns_when_it_looks_and_one_that_starts_knows_all() -> None:
    store = MemoryStore(MemoryState())
    one, two = Replica(store), Replica(store)
    first = await one.put()
    assert two.registry.get("flow") is None
    await two.versions.sync()
    second = await two.put(description="another")
    await one.versions.sync()
    late = Replica(store)
    await late.versions.sync()
    for replica in (one, two, late):
        found = replica.registry.get("flow")
        assert found is not None
        assert found.version == second
        assert replica.registry.versions("flow") == (first, second)


async def test_a_version_is_kept_while_jobs_are_on_it_and_for_as_long_as_ended_ones_are_kept() -> None:
    store = MemoryStore(MemoryState())
    replica = Replica(store)
    first = await replica.put()
    turn = await first_turn(store, blueprint="flow", blueprint_version=first)
    second = await replica.put(description="another")
    for _ in range(3):
        replica.now += KEEP_MS
        await replica.versions.prune()
    assert replica.registry.versions("flow") == (first, second)
    await committed(store, commit_of(turn))
    await replica.versions.prune()
    replica.now += KEEP_MS - 1
    await replica.versions.prune()
    assert first in replica.registry.versions("flow")
    replica.now += 1
    await replica.versions.prune()
    assert replica.registry.versions("flow") == (second,)
    assert await store.blueprints.specs("flow", [first, second]) != (None, None)
    assert (await store.blueprints.specs("flow", [first]))[0] is None


async def test_a_number_is_never_given_twice_while_a_version_may_be_needed() -> None:
    store = MemoryStore(MemoryState())
    replica = Replica(store)
    first = await replica.put()
    await replica.versions.delete("flow")
    assert replica.registry.get("flow") is None
    assert replica.registry.find("flow", first) is not None
    again = await replica.put(description="another")
    assert again.startswith("2:")


async def test_two_replicas_that_save_at_once_both_save(monkeypatch: Any) -> None:
    store = MemoryStore(MemoryState())
    one, two = Replica(store), Replica(store)
    await one.put()
    await two.versions.sync()
    read, raced = two.versions._read_head, list[str]()

    async def read_and_lose(name: str) -> Any:
        found = await read(name)
        if not raced:  # between the look and the save another one saves
            raced.append(await one.put(description="one"))
        return found

    monkeypatch.setattr(two.versions, "_read_head", read_and_lose)
    assert (await two.put(description="two")).startswith("3:")
    assert raced[0].startswith("2:")
    assert len(two.registry.versions("flow")) == 3


async def test_a_version_that_closes_a_circle_of_children_is_refused_and_nothing_is_saved() -> None:
    replica = Replica(MemoryStore(MemoryState()))
    replica.registry.add(Blueprint.from_dict({"name": "below", "start": "a", "states": {"a": _child("flow")}}))
    first = await replica.put()
    with pytest.raises(MusterError) as caught:
        await replica.put(states={"a": _child("below")})
    assert caught.value.code is ErrorCode.BLUEPRINT_INVALID
    assert "flow -> below -> flow" in str(caught.value)
    assert replica.registry.versions("flow") == (first,)


def _child(name: str) -> dict[str, Any]:
    return {"child": name, "ok": "finished"}
