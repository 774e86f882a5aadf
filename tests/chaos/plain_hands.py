"""A worker as anybody may write it with curl: one task at a time, and only the documented routes.

`python -m tests.chaos.plain_hands`; addresses and token come from the environment. Notes what it runs and every
receipt.
"""

import itertools
import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

URLS = os.environ["MUSTER_URL"].split(",")
TOKEN = os.environ["MUSTER_WORKER_TOKEN"]
ID = os.environ["MUSTER_WORKER_ID"]
RUNS, RECEIPTS = Path(os.environ["CHAOS_RUNS"]), Path(os.environ["CHAOS_RECEIPTS"])
POLL_S, TIMEOUT_S, PAUSE_S = 0.8, 3.0, 0.05
UNKNOWN = 404

_url = itertools.cycle(URLS)


def call(method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Status and JSON of the first server that answers."""
    while True:
        request = urllib.request.Request(
            next(_url) + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Worker-Token": TOKEN, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return error.code, None
        except (OSError, ValueError):
            pass
        time.sleep(PAUSE_S)


def append(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")


def register() -> None:
    call("POST", "/_worker/workers/register", {"worker_id": ID, "supported_tasks": ["work"]})


def main() -> None:
    register()
    while True:
        status, task = call("GET", f"/_worker/workers/{ID}/tasks/next?timeout={POLL_S}")
        if status == UNKNOWN:
            register()
        if task is None:
            continue
        append(RUNS, f"{task['task_id']} {task.get('attempt', 0)}")
        result = {"status": "success", "data": task["params"], "error": None}
        message = {"job_id": task["job_id"], "task_id": task["task_id"], "worker_id": ID, "result": result}
        status, receipt = call("POST", "/_worker/tasks/result", message)
        append(RECEIPTS, f"{task['task_id']} {status} {(receipt or {}).get('status', '')}")


if __name__ == "__main__":
    main()
