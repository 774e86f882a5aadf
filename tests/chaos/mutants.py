"""Bugs on purpose: the sweep must find each of them, or it proves nothing.

`python -m tests.chaos.mutants [SCENARIO…]`.
"""

import asyncio
import contextlib
import hashlib
import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from unittest.mock import patch

from muster.store import redis as redis_store
from muster.store import scripts

from tests.chaos import crashing
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.sweep import sweep
from tests.chaos.takeover import quick_leases
from tests.support.servers import Server, engine_of


@dataclass(frozen=True)
class Mutant:
    """*old* in every script becomes *new*; the scenario in which that must be noticed."""

    says: str
    scenario: str
    old: str
    new: str


MUTANTS: Final = (
    Mutant("a commit does not look at its turn", "apart", "j[1] ~= c.version or j[2] ~= c.token or ", ""),
    Mutant("an idempotency key is not remembered", "one", "if idem ~= '' then call('SET'", "if false then call('SET'"),
    Mutant("a result sent twice is delivered twice", "fan", "call('UNLINK', key)\n  local need", "local need"),
    Mutant(
        "a result's turn has no end",
        "apart",
        "call('ZADD', T .. 'D', now + c.ttl, jid)\n    local reply = turn_",
        "local reply = turn_",
    ),
    Mutant("a lease has no end", "silent", "call('ZADD', T .. 'L', math.min(now + seat.lease, hard), tid)", ""),
    Mutant(
        "a stale attempt is taken",
        "tardy",
        "(attempt ~= '' and t[2] ~= attempt) or (fence ~= '' and t[3] ~= fence)",
        "false",
    ),
    Mutant(
        "a turn taken over is not fenced",
        "apart",
        "local reply = lease_turn(jid, token, ttl)\n    turns",
        "local reply = turn_reply(jid)\n    turns",
    ),
    Mutant("a fired timer is forgotten", "nap", "if j[3] == '' then call('ZADD', T .. 'D', now, jid) end", ""),
    Mutant(
        "a message is forgotten once it was read",
        "one",
        "call('ZADD', T .. 'tm', now + hold, member)",
        "call('ZREM', T .. 'tm', member)",
    ),
    Mutant("two decisions count", "ask", "or j[2] ~= wave or answered or", "or"),
    Mutant("a dead wave's tasks stay", "wide", "for _, range in ipairs(c.drops) do", "for _, range in ipairs({}) do"),
    Mutant("a cancellation has no grace", "cancel", "call('ZADD', T .. 'tm', now + grace, 'c|' .. jid)", "now = now"),
    Mutant("a retried task is not counted off", "retry", "call('HSET', job, 'nl', leased)\n  if c.mode", "if c.mode"),
    Mutant("a step does not look at a wish to cancel", "deaf", "t[5] == j[2] and not cancelling", "t[5] == j[2]"),
    Mutant(
        "a step does not commit", "three", "local written = commit(c.jid, decided)", "local written = { 'ok', {}, '0' }"
    ),
)


@contextmanager
def with_bug(mutant: Mutant) -> Iterator[None]:
    """The scripts with *mutant* in them."""

    def broken(name: str) -> scripts.Script:
        source = scripts.script(name).source.replace(mutant.old, mutant.new)
        return scripts.Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())

    used = [name for name in scripts.names() if mutant.old in scripts.script(name).source]
    assert used, f"no script says {mutant.old!r} any more"
    sha_to_name = {broken(name).sha: name for name in scripts.names()}
    with patch.object(redis_store, "script", broken), patch.object(crashing, "SCRIPT_OF", sha_to_name):
        yield


def is_found(server: Server, mutant: Mutant) -> str | None:
    """The first finding."""
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == mutant.scenario)
    with with_bug(mutant), patch("tests.chaos.sweep.POINT_S", 3.0):
        outcomes = asyncio.run(sweep(server, scenario))
    return next(
        (f"{outcome.points or 'without any death'}: {outcome.found[0]}" for outcome in outcomes if outcome.found), None
    )


def main(names: list[str]) -> int:
    logging.disable(logging.CRITICAL)
    missed = 0
    with tempfile.TemporaryDirectory() as folder, quick_leases(), contextlib.ExitStack() as stack:
        server = Server(engine_of("valkey", Path(folder)))
        stack.callback(server.stop)
        for mutant in [mutant for mutant in MUTANTS if mutant.scenario in names or not names]:
            found = is_found(server, mutant)
            missed += found is None
            print(f"{'found ' if found else 'MISSED'} {mutant.says}: {(found or '')[:160]}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
