"""What must be true of flows, gates and slots between any two calls: slots are leases, and nobody waits for nothing."""

from collections.abc import Iterator

from muster.core.flow import Policy
from muster.store.flow import load_policy

from tests.support.dump import Dump


def flow_of_task(fields: dict[str, str]) -> str:
    return fields["fl"] + fields.get("fw", "")


def gates_of_task(fields: dict[str, str]) -> list[str]:
    tenant, *parts = flow_of_task(fields).split("/")
    return ["*", f"c:{fields['q']}", f"t:{tenant}", *(f"{part[0]}:{part[1:]}" for part in parts)]


def scan_gates(dump: Dump) -> Iterator[str]:
    yield from slots_without_a_lease(dump)
    yield from slots_too_many(dump)
    yield from parked_flows(dump)
    yield from classes_that_wait_for_nothing(dump)


def _policies(dump: Dump) -> dict[str, Policy]:
    return {gate: load_policy(text) for gate, text in dump.value("gl").items()}


def policy_of(policies: dict[str, Policy], gate: str) -> Policy | None:
    kind, _, rest = gate.partition(":")
    if kind == "w":
        return Policy(most=int(rest.rpartition(".")[2]))
    if kind == "k":
        key, _, group = rest.partition(".")
        return policies.get(f"k:{key}") or policies.get(f"k:{group}")
    return policies.get(gate)


def slots_without_a_lease(dump: Dump) -> Iterator[str]:
    """Both ways: who holds a slot has a lease and says so, and what a lease says is so."""
    tasks = {task: entry.value for task, entry in dump.of("t:")}
    held = {gate: set(entry.value) for gate, entry in dump.of("g:")}
    for gate, holders in held.items():
        if gate not in dump.value("gh"):
            yield f"gate {gate} is held, and no audit would look at it"
        for task in holders:
            if gate not in tasks.get(task, {}).get("gs", "").split():
                yield f"{task} holds a slot of {gate}, and does not know it"
    for task, fields in tasks.items():
        claimed = fields.get("gs", "").split()
        if claimed and fields["st"] != "L":
            yield f"task {task} is {fields['st']} and holds {claimed}"
        for gate in claimed:
            if task not in held.get(gate, set()):
                yield f"task {task} should hold a slot of {gate}"
            if gate not in gates_of_task(fields):
                yield f"task {task} does not stand under {gate}"
    yield from (f"gate {gate} is listed, and nobody holds it" for gate in dump.value("gh") if gate not in held)


def slots_too_many(dump: Dump) -> Iterator[str]:
    """A fan's cap never changes, so it is never exceeded."""
    for gate, entry in dump.of("g:w"):
        policy = policy_of({}, f"w{gate}")
        if policy is not None and policy.most is not None and len(entry.value) > policy.most:
            yield f"{len(entry.value)} tasks run at {gate}"


def parked_flows(dump: Dump) -> Iterator[str]:
    """A parked flow has tasks, stands nowhere else, and its gate knows the class, as shut or as open."""
    parked = dict(dump.value("gp"))
    for name, gate in parked.items():
        cls, _, flow = name.partition("|")
        if f"f:{name}" not in dump.entries:
            yield f"parked flow {name} is empty"
        if flow in dump.value(f"q:{cls}"):
            yield f"parked flow {name} is in line too"
        if flow not in dump.value(f"gf:{gate}|{cls}"):
            yield f"flow {name} is not parked at {gate}"
        places = [cls in dump.value(f"gw:{gate}"), gate in dump.value(f"go:{cls}")]
        if places.count(True) != 1:
            yield f"flow {name} is parked at {gate}, which is shut and open: {places}"
    for at, entry in dump.of("gf:"):
        gate, _, cls = at.rpartition("|")
        yield from (f"{flow} is at {at} only" for flow in entry.value if parked.get(f"{cls}|{flow}") != gate)
    for cls, entry in dump.of("go:"):
        yield from (f"nothing is parked at {gate}" for gate in entry.value if f"gf:{gate}|{cls}" not in dump.entries)


def classes_that_wait_for_nothing(dump: Dump) -> Iterator[str]:
    """A gate that has room keeps nobody waiting, but for a moment in which others are told first."""
    policies, timers = _policies(dump), dump.value("tm")
    for gate, _ in dump.of("gw:"):
        policy = policy_of(policies, gate)
        held = len(dump.value(f"g:{gate}"))
        is_full = policy is not None and policy.most is not None and (policy.counting or held >= policy.most)
        if not is_full and f"g|{gate}" not in timers:
            yield f"gate {gate} has room, and classes wait at it for nothing"
