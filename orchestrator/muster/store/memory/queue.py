"""Ready tasks of one class: flows in line by their tickets, and those parked at gates that are shut."""

from bisect import insort
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from muster.core.ids import TaskId
from muster.core.limits import BAND_AGE_MS, BAND_SERVICES, PRIORITY_MAX, PRIORITY_MIN, SHARE_MAX, TICKET_COST
from muster.store.memory.model import Order, Task

BANDS: Final = PRIORITY_MAX - PRIORITY_MIN + 1
BAND_WORTH: Final = BAND_SERVICES * TICKET_COST

Place = tuple[int, int, Order, TaskId]
"""Of a task in its flow: age (a band is worth some), band, order."""


class Ticket(NamedTuple):
    start: int
    band: int

    @property
    def score(self) -> tuple[int, int]:
        return self.start + self.band * BAND_WORTH, self.band


class FairQueue:
    """Start-time fair queueing between tenants: the flow with the lowest ticket is next.

    Each flow in line has a ticket; a tenant's tag is where its next one starts. So a thousand flows of one tenant share
    what one flow would get. A flow is parked at a gate with its ticket, and comes back with it.
    """

    def __init__(self, cost_of: Callable[[str], int]) -> None:
        self._cost_of = cost_of
        self.tasks: dict[str, list[Place]] = {}
        self.line: dict[str, Ticket] = {}
        self.parked: dict[str, tuple[str, Ticket]] = {}
        """Gate and ticket by flow."""
        self._tags: dict[str, int] = {}
        self._virtual_time = 0

    def __len__(self) -> int:
        """Tasks of the flows in line."""
        return sum(len(self.tasks[flow]) for flow in self.line)

    def ready(self, open_gates: Iterable[str]) -> int:
        """Tasks of the flows in line, and of those that are parked at gates which opened again."""
        flows = [*self.line, *(flow for flow, (gate, _) in self.parked.items() if gate in set(open_gates))]
        return sum(len(self.tasks[flow]) for flow in flows)

    def add(self, task: Task) -> None:
        insort(self.tasks.setdefault(task.flow, []), _place(task))
        if task.flow not in self.line and task.flow not in self.parked:
            tenant = tenant_of(task.flow)
            start = max(self._virtual_time, self._tags.get(tenant, 0))
            self._tags[tenant] = start + self._cost_of(tenant)
            self.line[task.flow] = Ticket(start, task.band)
        elif self.tasks[task.flow][0][-1] == task.id:
            self._better(task.flow, task.band)

    def _better(self, flow: str, band: int) -> None:
        if flow in self.line:
            self.line[flow] = self.line[flow]._replace(band=min(band, self.line[flow].band))
        else:
            gate, ticket = self.parked[flow]
            self.parked[flow] = gate, ticket._replace(band=min(band, ticket.band))

    def remove(self, task: Task) -> None:
        tasks = self.tasks.get(task.flow, [])
        if _place(task) in tasks:
            tasks.remove(_place(task))
            if not tasks:
                self._forget(task.flow)

    def _forget(self, flow: str) -> None:
        """A ticket that was not used is given back."""
        del self.tasks[flow]
        if self.line.pop(flow, None) is not None and tenant_of(flow) in self._tags:
            self._tags[tenant_of(flow)] -= self._cost_of(tenant_of(flow))
        self.parked.pop(flow, None)

    def before(self, task: Task) -> int:
        """How many tasks are served before *task*, by the tickets of now, if nothing else comes.

        Flows are served up to SHARE_MAX tasks at a time, so with several of them it may be off by some.
        """
        rank = self.tasks[task.flow].index(_place(task))
        if task.flow not in self.line:
            return rank
        at = self.line[task.flow].score[0] + rank * TICKET_COST
        count = rank
        for flow, ticket in self.line.items():
            if flow != task.flow:
                lead = -((ticket.score[0] - at) // TICKET_COST)
                count += min(len(self.tasks[flow]), max(lead, 0))
        return count

    def head(self) -> str | None:
        return min(self.line, key=lambda flow: (*self.line[flow].score, flow), default=None)

    def is_alone(self) -> bool:
        return len(self.line) == 1

    def first_tasks(self, flow: str, most: int) -> list[TaskId]:
        """At most *most* of the flow's tasks, taken out; while others wait only those of one band."""
        tasks = self.tasks[flow]
        count = min(most, len(tasks)) if self.is_alone() else min(most, self._in_a_row(flow), _alike(tasks))
        self.tasks[flow] = tasks[count:]
        return [place[-1] for place in tasks[:count]]

    def _in_a_row(self, flow: str) -> int:
        """How many tasks the flow may have at a time while others wait.

        As many as leave it before the next one in line, or a few where it is the tenant's only one: its next ticket is
        so much later then. Of a tenant with several flows each gets one.
        """
        ticket, cost = self.line[flow], self._cost_of(tenant_of(flow))
        if self._tags.get(tenant_of(flow), 0) > ticket.start + cost:
            return 1
        following = min(other.score for name, other in self.line.items() if name != flow)
        few = SHARE_MAX if following[1] == ticket.band else 1
        gap = (following[0] - ticket.score[0]) * BANDS + following[1] - ticket.band
        return max(few, gap // (cost * BANDS) + 1)

    def served(self, flow: str, count: int) -> None:
        """Charge *flow* for *count* tasks; the rest gets a new ticket."""
        ticket, rest, tenant = self.line[flow], self.tasks[flow], tenant_of(flow)
        cost, band = self._cost_of(tenant), rest[0][1] if rest else 0
        if not count:
            self._forget(flow) if not rest else self.line.update({flow: Ticket(ticket.start, band)})
            return
        start = ticket.start + count * cost
        if self.is_alone():
            self._virtual_time = max(self._virtual_time, start)
        else:
            self._virtual_time = max(self._virtual_time, ticket.start)
            tag = max(self._tags.get(tenant, 0), ticket.start + cost) + (count - 1) * cost
            start = max(self._virtual_time, tag)
            self._tags[tenant] = start + cost if rest else tag
        self.line[flow] = Ticket(start, band)
        if not rest:
            del self.line[flow], self.tasks[flow]

    def forget_past_tags(self) -> None:
        self._tags = {tenant: tag for tenant, tag in self._tags.items() if tag > self._virtual_time}

    def park(self, flow: str, gate: str) -> None:
        self.parked[flow] = gate, self.line.pop(flow)

    def unpark(self, gate: str, most: int) -> int:
        """Bring back up to *most* flows that are parked at *gate*. Returns how many."""
        ours = [(ticket.score, flow) for flow, (at, ticket) in self.parked.items() if at == gate]
        for _, flow in sorted(ours)[:most]:
            _, ticket = self.parked.pop(flow)
            self.line[flow] = ticket._replace(start=max(ticket.start, self._virtual_time))
        return min(len(ours), most)

    def is_parked_at(self, gate: str) -> bool:
        return any(at == gate for at, _ in self.parked.values())


def tenant_of(flow: str) -> str:
    return flow.partition("/")[0]


def _alike(tasks: list[Place]) -> int:
    """How many of the first tasks are of one band."""
    return next((i for i, place in enumerate(tasks) if place[1] != tasks[0][1]), len(tasks))


def _place(task: Task) -> Place:
    return task.order[0] + task.band * BAND_AGE_MS, task.band, task.order, task.id
