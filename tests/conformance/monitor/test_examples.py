"""The examples of document 003, word for word, as their readers run them: without a key, in development mode.

Only the ports are others, as several servers share this machine.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from tests.conformance.monitor.conftest import Monitor
from tests.system.processes import SECONDS_MAX, Cluster, wait_until

PYTHON = """
import requests
import websocket
import json

# Create execution
response = requests.post('http://localhost:8080/api/executions', json={
    "name": "Test Execution",
    "command": "python test.py",
    "tags": ["test"]
})
execution_id = response.json()['data']['execution_id']

# WebSocket connection
def on_message(ws, message):
    data = json.loads(message)
    print(f"Received: {data['type']}")

ws = websocket.WebSocketApp("ws://localhost:8765",
                           on_message=on_message)
ws.run_forever()
"""
JAVASCRIPT = """
// REST API
const response = await fetch('/api/executions', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
        name: 'Test Execution',
        command: 'npm test',
        tags: ['test']
    })
});
const result = await response.json();

// WebSocket
const ws = new WebSocket('ws://localhost:8765');
ws.onmessage = (event) => {
    const data = JSON.parse(event.data);
    console.log('Received:', data.type, data.data);
};
"""
A_PAGE_OF_THE_SERVER = """
const fetchAnywhere = globalThis.fetch;
globalThis.fetch = (path, options) => fetchAnywhere(new URL(path, 'http://localhost:8080'), options);
"""
"""A relative URL means the server that a page came from; outside of a browser somebody must say which."""
CURL = r"""
# List executions
curl "http://localhost:8080/api/executions?limit=10&status=completed"

# Get execution details
curl "http://localhost:8080/api/executions/uuid-string"

# Create execution
curl -X POST "http://localhost:8080/api/executions" \
     -H "Content-Type: application/json" \
     -d '{"name":"Test","command":"echo hello"}'

# Download artifact
curl "http://localhost:8080/api/artifacts/artifact-uuid/download" \
     --output report.html

# Health check
curl "http://localhost:8080/api/health"

# Performance metrics
curl "http://localhost:8080/api/health/metrics"
"""


@contextmanager
def reader_of(cluster: Cluster, folder: Path, *command: str) -> Iterator[Path]:
    """A program that goes on; gives the file of what it prints."""
    printed = folder / "printed.txt"
    with printed.open("wb") as output:
        program = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield printed
    finally:
        program.kill()
        program.wait(SECONDS_MAX)


def here(cluster: Cluster, text: str) -> str:
    ports = {"8080": cluster.a.port, "8765": cluster.a.variables["MUSTER_STEPFLOW_WS_PORT"]}
    for written, port in ports.items():
        text = text.replace(f"localhost:{written}", f"localhost:{port}")
    return text


async def test_the_python_example_runs(cluster: Cluster, anybody: Monitor, tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(here(cluster, PYTHON))
    with reader_of(cluster, tmp_path, sys.executable, "-u", "example.py") as printed:
        wait_until(lambda: "Received: connection_established" in printed.read_text(), "it is connected")
        await anybody.done(["sh", "-c", "echo STEP_START:a; echo hello"])
        wait_until(lambda: "Received: execution_completed" in printed.read_text(), "it was told of an end")
    received = printed.read_text().splitlines()
    assert received[0] == "Received: connection_established"
    assert {"Received: execution_started", "Received: step_update", "Received: log_entry"} < set(received)


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
async def test_the_javascript_example_runs(cluster: Cluster, anybody: Monitor, tmp_path: Path) -> None:
    (tmp_path / "example.mjs").write_text(here(cluster, A_PAGE_OF_THE_SERVER + JAVASCRIPT))
    with reader_of(cluster, tmp_path, "node", "--experimental-websocket", "example.mjs") as printed:
        wait_until(lambda: "Received: connection_established" in printed.read_text(), "it is connected")
        await anybody.done("echo hello")
        wait_until(lambda: "Received: execution_completed" in printed.read_text(), "it was told of an end")
    assert "content: 'hello'" in printed.read_text()
    page = await anybody.listed()
    assert "npm test" in {execution["command"] for execution in page["executions"]}


async def test_the_curl_examples_run(cluster: Cluster, anybody: Monitor, tmp_path: Path) -> None:
    details = await anybody.done(["sh", "-c", "echo '<p>' > report.html; echo ARTIFACT:report.html:it"])
    written = here(cluster, CURL).replace("artifact-uuid", details["artifacts"][0]["id"])
    written = written.replace("uuid-string", details["execution"]["id"])
    answers = []
    for example in written.strip().split("\n\n"):
        done = subprocess.run(["bash", "-euc", example], cwd=tmp_path, capture_output=True, check=True, timeout=60)
        answers.append(done.stdout)
    assert answers.pop(3) == b""
    assert (tmp_path / "report.html").read_text() == "<p>\n"
    listed, found, created, health, metrics = (orjson.loads(answer) for answer in answers)
    assert all(answer["success"] for answer in (listed, found, created, health, metrics))
    assert details["execution"]["id"] in {execution["id"] for execution in listed["data"]["executions"]}
    assert found["data"] == details
    execution_id = created["data"]["execution_id"]
    assert (await anybody.ended(execution_id))["execution"]["status"] == "completed"
    assert health["data"]["status"] == "healthy"
    assert metrics["data"]["database"]["table_counts"]["executions"] > 0
