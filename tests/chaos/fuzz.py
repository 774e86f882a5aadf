"""Strangers' requests against a real development server: `python -m tests.chaos.fuzz --examples 3000 --seed 7`.

No answer may be a 5xx or one that the reference does not name, every error says what was wrong, and nothing
unexpected happens in the server's own log.
"""

import argparse
import contextlib
import http.client
import re
import secrets
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import orjson
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from muster.api.openapi import errors_of
from muster.api.operations import Operation
from muster.api.problems import MEDIA_TYPE
from muster.api.routes import OPERATIONS
from muster.errors import STATUS_OF, ErrorCode
from pydantic import TypeAdapter, ValidationError

from tests.chaos.guesses import JOB, OWNER, TASK, TYPES, Guess, guesses
from tests.system.processes import ALPHA, WORKER_TOKEN, Cluster, Orchestrator, StoreProcess

ANSWER_S: Final = 15.0
SETTINGS: Final = {
    "MUSTER_WORKER_POLL_TIMEOUT_SECONDS": "0.02",
    "MUSTER_HEARTBEAT_INTERVAL_SECONDS": "5",
    "MUSTER_MAX_BODY_BYTES": "65536",
    "MUSTER_SDK_HEARTBEAT_SECONDS": "0.02",
    "MUSTER_LOG_FORMAT": "json",
}
UNEXPECTED: Final = re.compile(r"http_failed|task_crashed|tick_crashed|Traceback|never retrieved|was never awaited")
ROUTED: Final = frozenset({ErrorCode.NOT_FOUND, ErrorCode.METHOD_NOT_ALLOWED})
"""What any URL may answer: nothing says that the guess still means its operation."""
HEADS: Final = (
    b"Content-Length: -1",
    b"Content-Length: 3",
    b"Content-Length: " + b"9" * 30,
    b"Transfer-Encoding: chunked",
    b"Expect: 100-continue",
    b"Upgrade: websocket",
    b"Content-Encoding: gzip",
    b": x",
    b"X" * 9000 + b": y",
    b"Host: \xff",
)
ENDLESS: Final = "text/event-stream"
"""An answer that goes on for as long as something can happen: that it has begun is all there is to see."""
NO_POOL: Final = "018f0000-0000-7000-8000-000000000002"


@dataclass(frozen=True)
class Answer:
    status: int
    media_type: str
    body: bytes


@dataclass
class Target:
    """The server, and ids of what exists there."""

    server: Orchestrator
    jobs: list[str] = field(default_factory=list[str])
    tasks: list[str] = field(default_factory=list[str])
    statuses: Counter[int] = field(default_factory=Counter[int])

    def send(self, raw: bytes, *, ends: bool = False) -> Answer | None:
        """The answer to one request on a connection of its own; None where the server closes without one.

        *ends*: nothing more will come, also where the request promised more.
        """
        method = raw.partition(b" ")[0].decode("latin-1")
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=ANSWER_S) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(raw)  # may be refused before the end; the answer is there all the same
                if ends:
                    connection.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(connection, method=method)
            try:
                answer.begin()
                body = b"" if answer.headers.get_content_type() == ENDLESS else answer.read()
            except (http.client.HTTPException, ConnectionResetError):
                return None
            return Answer(answer.status, answer.headers.get_content_type(), body)

    def ask(self, guess: Guess) -> Answer | None:
        answer = self.send(raw_request(guess, self._existing))
        if answer is not None:
            self.statuses[answer.status] += 1
            self._remember(answer)
        return answer

    def _existing(self, text: str) -> str:
        """Stand-ins replaced by what exists."""
        text = re.sub(rf"{JOB}(\d):", lambda found: _pick(self.jobs, int(found[1])), text)
        text = re.sub(rf"{OWNER}(\d):", lambda found: _pick(self.tasks, int(found[1])).partition(".")[0], text)
        return re.sub(rf"{TASK}(\d):", lambda found: _pick(self.tasks, int(found[1])), text)

    def _remember(self, answer: Answer) -> None:
        if answer.status not in {200, 202} or not answer.body.startswith(b"{"):
            return
        found = orjson.loads(answer.body)
        if answer.status == 202:
            self.jobs.insert(0, found["job_id"])
        tasks = found.get("tasks") if isinstance(found.get("tasks"), list) else [found]
        for task in cast("list[dict[str, Any]]", tasks):
            if isinstance(task.get("task_id"), str):
                self.tasks.insert(0, task["task_id"])

    def check_is_well(self) -> None:
        """Up, and nothing unexpected in the log."""
        answer = self.send(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer is not None
        assert answer.status == 200, answer
        assert not self.server.has_ended, self.server.log[-4000:]
        found = [line for line in self.server.log.splitlines() if UNEXPECTED.search(line)]
        assert not found, "\n".join(found[:5])[:4000]


def _pick(pool: list[str], number: int) -> str:
    return pool[number % len(pool)] if pool else NO_POOL


def raw_request(guess: Guess, existing: Callable[[str], str]) -> bytes:
    lines = [f"{guess.method} {existing(guess.target)} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in guess.headers]
    body = b"" if guess.body is None else existing(guess.body.decode("latin-1")).encode("latin-1")
    if guess.body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


# What an answer must be


def check(guess: Guess, answer: Answer | None) -> None:
    assert answer is not None, f"no answer to {guess}"
    what = f"{guess.method} {guess.target} {guess.body!r:.500} -> {answer.status} {answer.body!r:.700}"
    assert answer.status < 500, what
    if guess.method == "HEAD":
        return
    if answer.status >= 400:
        _check_problem(guess, answer, what)
    elif guess.meant:
        _check_success(guess.operation, answer, what)


def _check_problem(guess: Guess, answer: Answer, what: str) -> None:
    if answer.media_type == "text/html":  # a page answers with a page
        assert "text/html" in {row.media_type for row in guess.operation.answers}, what
        assert answer.status in {STATUS_OF[code] for code in errors_of(guess.operation)}, what
        return
    assert answer.media_type == MEDIA_TYPE, what
    problem = orjson.loads(answer.body)
    assert problem["status"] == answer.status, what
    assert problem["code"] in set(ErrorCode), what
    assert STATUS_OF[ErrorCode(problem["code"])] == answer.status, what
    for member in ("title", "detail", "error", "instance"):
        assert isinstance(problem[member], str), f"{member} is missing: {what}"
        assert problem[member], f"{member} is empty: {what}"
    allowed = {*errors_of(guess.operation), *ROUTED}
    assert not guess.meant or problem["code"] in allowed, f"undocumented: {what}"


def _check_success(operation: Operation, answer: Answer, what: str) -> None:
    documented = {row.status: row for row in operation.answers}
    assert answer.status in documented, f"undocumented: {what}"
    row = documented[answer.status]
    assert (row.model is None and row.example is None) or answer.media_type == row.media_type or "format=" in what, what
    if row.model is None:
        return
    try:
        TypeAdapter(row.model).validate_json(answer.body)
    except ValidationError:
        value = orjson.loads(answer.body)
        if value != {"status": "ttl_refreshed"} and set(value) != {"tasks"}:  # the two shorter forms
            raise AssertionError(what) from None


# The two kinds of strangers


def fuzz_requests(target: Target, examples: int, number: int) -> None:
    @seed(number)
    @_quietly(examples)
    @given(guesses())
    def requests_are_answered_as_documented(guess: Guess) -> None:
        check(guess, target.ask(guess))

    requests_are_answered_as_documented()


def fuzz_bodies(target: Target, examples: int, number: int) -> None:
    @seed(number)
    @_quietly(examples)
    @given(guesses(bytes_only=True))
    def bodies_that_are_no_json_are_refused_in_words(guess: Guess) -> None:
        check(guess, target.ask(guess))

    bodies_that_are_no_json_are_refused_in_words()


def fuzz_lines(target: Target, examples: int, number: int) -> None:
    """What is hardly HTTP any more: the parser's business, but the server stays up and does not answer 5xx."""
    first = st.sampled_from([b"GET", b"POST", b"PATCH", b"\xff", b"GET\0", b"PRI", b"get"])
    heads = st.sampled_from(HEADS)
    paths = st.one_of(
        st.sampled_from([row.path.encode() for row in OPERATIONS]), st.binary(max_size=30), st.just(b"/" + b"a" * 9000)
    )

    @seed(number)
    @_quietly(examples)
    @given(first, paths, st.lists(heads, max_size=3), st.binary(max_size=20))
    def the_server_survives(method: bytes, path: bytes, headers: list[bytes], body: bytes) -> None:
        lines = [method + b" " + path + b" HTTP/1.1", b"Host: x", b"X-Worker-Token: " + WORKER_TOKEN.encode(), *headers]
        answer = target.send(b"\r\n".join([*lines, b"Connection: close", b"", b""]) + body, ends=True)
        assert answer is None or answer.status < 500, (lines, answer)

    the_server_survives()


def _quietly(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )


@contextmanager
def development_server(folder: Path) -> Iterator[Target]:
    """A server that has workers, jobs and leased tasks already."""
    cluster = Cluster(folder, StoreProcess(folder / "store", "valkey"))
    try:
        server = cluster.add_orchestrator(**SETTINGS)
        server.wait_until_ready()
        target = Target(server)
        for worker in ("w1", "w2"):
            body = {"worker_id": worker, "supported_tasks": TYPES, "protocol": int(worker == "w2")}
            target.ask(_plain("/_worker/workers/register", body))
        for blueprint in ("one", "three", "fan", "ask", "careful", "one", "ask"):
            target.ask(_plain(f"/api/v1/jobs/{blueprint}", {"initial_data": {"type": "work", "count": 3}}))
        for worker in ("w1", "w2"):
            target.ask(_plain(f"/_worker/workers/{worker}/tasks/next?max=2"))
        assert target.jobs, "no job could be started"
        assert target.tasks, "no task could be had"
        yield target
    finally:
        cluster.close()


def _plain(path: str, body: Any = None) -> Guess:
    headers = (("X-Client-Token", ALPHA), ("X-Worker-Token", WORKER_TOKEN))
    data = None if body is None else orjson.dumps(body)
    return Guess(OPERATIONS[0], "GET" if body is None else "POST", path, headers, data)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=3000, help="requests of each kind")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder, development_server(Path(folder)) as target:
        for fuzz in (fuzz_requests, fuzz_bodies, fuzz_lines):
            fuzz(target, options.examples, options.seed)
            target.check_is_well()
            print(f"{fuzz.__name__}: {dict(sorted(target.statuses.items()))}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
