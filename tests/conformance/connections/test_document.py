"""The commands of the document as it prints them, in an order in which somebody may type them."""

import asyncio
import json
from typing import Any

import pytest

from tests.conformance.connections.conftest import Pipelines, Source

PRINTED = "http://127.0.0.1:8081"
CONNECTIONS = 'curl -H "X-API-Key: <your-key>" http://127.0.0.1:8081/connections'
RUN = """\
curl -X POST \\
  -H "X-API-Key: <your-key>" \\
  "http://127.0.0.1:8081/connections/trello/run?include_report=true"
"""
RUN_ASYNC = """\
curl -X POST \\
  -H "X-API-Key: <your-key>" \\
  http://127.0.0.1:8081/connections/trello/run_async
"""
RUN_SELECTED = """\
curl -X POST \\
  -H "X-API-Key: <your-key>" \\
  http://127.0.0.1:8081/run_selected
"""
CANCEL_TASK = """\
curl -X POST \\
  -H "X-API-Key: <your-key>" \\
  http://127.0.0.1:8081/cancel_task/<task-id>
"""
TASK_STATUS = 'curl -H "X-API-Key: <your-key>" http://127.0.0.1:8081/task_status/<task-id>'
HISTORY = 'curl -H "X-API-Key: <your-key>" http://127.0.0.1:8081/history?limit=25'
PIPELINES = 'curl -H "X-API-Key: <your-key>" http://127.0.0.1:8081/pipelines?only_enabled=true'
STATUS = 'curl -H "X-API-Key: <your-key>" http://127.0.0.1:8081/connections/trello/status'


class Typist:
    """Types what is printed, with a key, an address and a task's id of its own."""

    def __init__(self, client: Pipelines) -> None:
        self._client = client

    async def type(self, command: str, task_id: str = "") -> Any:
        key = self._client.headers["X-API-Key"]
        text = command.replace(PRINTED, self._client.url).replace("<your-key>", key).replace("<task-id>", task_id)
        shell = await asyncio.create_subprocess_shell(
            text, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, _ = await shell.communicate()
        assert shell.returncode == 0, text
        return json.loads(out)


@pytest.fixture
def typist(client: Pipelines) -> Typist:
    return Typist(client)


async def test_look_run_and_look_back(client: Pipelines, typist: Typist) -> None:
    listed = await typist.type(CONNECTIONS)
    assert [one["name"] for one in listed] == ["trello", "slow_source", "broken_source"]
    result = await typist.type(RUN)
    assert (result["success"], result["rows_inserted"]) == (True, 3)
    assert "fetched 3 cards" in result["report"]
    (row,) = await typist.type(HISTORY)
    assert row["run_id"] == result["run_id"]
    status = await typist.type(STATUS)
    assert (status["last_run_success"], status["last_run_attempts"]) == (True, 1)
    assert [one["name"] for one in await typist.type(PIPELINES)] == ["trello", "slow_source"]


async def test_run_in_the_background_and_ask_how_it_is(client: Pipelines, typist: Typist) -> None:
    task_id = (await typist.type(RUN_ASYNC))["task_id"]
    await client.reaches(task_id, "finished")
    status = await typist.type(TASK_STATUS, task_id)
    assert (status["kind"], status["connection"], status["result"]["success"]) == ("single", "trello", True)


async def test_run_all_and_stop_in_the_middle(client: Pipelines, typist: Typist, source: Source) -> None:
    task_id = (await typist.type(RUN_SELECTED))["task_id"]
    await client.reaches(task_id, "running", current="slow_source")
    assert "message" in await typist.type(CANCEL_TASK, task_id)
    await client.reaches(task_id, "cancelled")
    status = await typist.type(TASK_STATUS, task_id)
    assert (status["canceled"], status["active"], status["completed"][0]) == (True, False, "trello")
