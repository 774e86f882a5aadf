"""What a worker does when it is ordered to."""

import asyncio
from typing import Any

import pytest
from muster_worker.needs import InvalidNeeds
from muster_worker.orders import Orders
from muster_worker.settings import worker_settings
from muster_worker.slots import Slots


def made() -> tuple[Orders, list[Any]]:
    done: list[Any] = []
    orders = Orders(
        lambda: done.append("pause"), lambda: done.append("go on"), done.append, lambda: done.append("end"), slots=10
    )
    return orders, done


async def test_an_order_that_is_told_again_is_obeyed_once() -> None:
    orders, done = made()
    for command in ("drain", "drain", "resume", "resume"):
        orders.command({"command": command})
    orders.command({"command": "resize", "slots": 4})
    orders.command({"command": "resize", "slots": 4})
    assert done == ["pause", "go on", 4]


async def test_a_heartbeat_tells_the_same_as_the_socket() -> None:
    orders, done = made()
    orders.told("drain", 3)
    orders.told(None, None)
    await asyncio.sleep(0)
    assert (done, orders.is_paused) == ([3, "pause"], True)
    orders.told("", 3)
    await asyncio.sleep(0)
    assert (done, orders.is_paused) == ([3, "pause", "go on"], False)


async def test_after_the_order_to_end_no_other_is_obeyed() -> None:
    orders, done = made()
    orders.command({"command": "disconnect"})
    orders.command({"command": "resume"})
    orders.command({"command": "something new"})
    assert (done, orders.is_ended) == (["end"], True)


def test_fewer_slots_than_tasks_leave_none_free_until_they_end() -> None:
    slots = Slots(4)
    slots.take(3)
    slots.resize(2)
    assert slots.free == -1
    slots.give_back(2)
    assert slots.free == 1


def test_labels_and_resources_come_from_the_environment() -> None:
    env = {
        "MUSTER_WORKER_TOKEN": "t",
        "MUSTER_WORKER_LABELS": "gpu=a100,fast",
        "MUSTER_WORKER_RESOURCES": "cpu=4,memory=1GB",
    }
    settings = worker_settings(env=env)
    assert settings.labels == {"gpu": "a100", "fast": "true"}
    assert settings.resources == {"cpu": 4, "memory": 1024**3}
    with pytest.raises(InvalidNeeds, match="'disk=1' is no resource"):
        worker_settings(env={**env, "MUSTER_WORKER_RESOURCES": "disk=1"})
