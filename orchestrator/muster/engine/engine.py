"""The engine: everything that works together on one replica. Stateless but for waiting polls and sockets.

Its verbs are those of `jobs` (what clients do) and `work` (what workers do).
"""

import base64
import hashlib
import hmac
import time
from typing import Final

from muster.blueprint.graphs import graph_json
from muster.blueprint.registry import Registry
from muster.core.ids import JobId, partition_of
from muster.core.status import JobStatus
from muster.engine.approval_tokens import ApprovalTokens
from muster.engine.approvals import Approvals
from muster.engine.background import Background
from muster.engine.batches import Batches
from muster.engine.bulk import Bulk
from muster.engine.cancelling import Cancelling
from muster.engine.catalog import Catalog
from muster.engine.child_messages import ChildMessages
from muster.engine.choosing import Choosing
from muster.engine.classes import Classes
from muster.engine.connections import Connections
from muster.engine.costs import Costs
from muster.engine.deadlines import Deadlines
from muster.engine.deletion import Deletion
from muster.engine.demand import Demand
from muster.engine.dispatch import Dispatcher
from muster.engine.explaining import Explaining
from muster.engine.figures import Figures
from muster.engine.files import Files
from muster.engine.firing import Firing
from muster.engine.fleet import Fleet
from muster.engine.inputs import Inputs
from muster.engine.jobs import Jobs
from muster.engine.journal import Journal
from muster.engine.limits import Limits
from muster.engine.live import Live
from muster.engine.many_jobs import ManyJobs
from muster.engine.migrations import Migrations
from muster.engine.operations import Operations
from muster.engine.pausing import Pausing
from muster.engine.placing import Placing
from muster.engine.planning import Planning
from muster.engine.pruning import Pruning
from muster.engine.retrying import Retrying
from muster.engine.schedules import Schedules
from muster.engine.searching import Searching
from muster.engine.settings import EngineSettings
from muster.engine.signals import Signals
from muster.engine.speeds import Speeds
from muster.engine.ticker import Ticker
from muster.engine.turns import TurnRules, Turns
from muster.engine.versions import Versions
from muster.engine.views import Dashboard, WorkerDescription
from muster.engine.watchers import Watchers
from muster.engine.webhooks import WebhookSender
from muster.engine.work import Work
from muster.observe.metrics import Metrics
from muster.store.base import Store

DRAIN_S: Final = 10.0
"""Turns under way may take so long when the server stops."""


class Engine:
    def __init__(
        self, store: Store, blueprints: Registry, settings: EngineSettings, metrics: Metrics, secret: str
    ) -> None:
        self.settings = settings
        self.blueprints = blueprints
        self.counters = metrics
        self._store = store
        self._secret = secret.encode()
        self._background = background = Background()
        self._watchers = watchers = Watchers(store, settings.replica)
        self._classes = classes = Classes(store, background.spawn)
        self._fleet = fleet = Fleet(
            store,
            classes,
            replica=settings.replica,
            ttl_ms=settings.registration_ttl_ms,
            slowed=metrics.workers_slowed.inc,
        )
        self._webhooks = WebhookSender(self.webhook_key, allow_private=settings.webhooks_allow_private)
        self._dispatcher = dispatcher = Dispatcher(
            store,
            replica=settings.replica,
            partitions=settings.partitions,
            spawn=background.spawn,
            history=settings.history,
            choosing=Choosing(classes.chosen, fleet, time.monotonic),
            classes_of=fleet.open_classes,
        )
        fleet.on_change, fleet.on_recall = dispatcher.reline, dispatcher.recall
        classes.on_new, classes.on_gone = fleet.add_class, fleet.sort_again
        tokens = ApprovalTokens(self._secret)
        rules = TurnRules(
            settings.task_retries, settings.task_timeout_ms, settings.retention_ms, settings.history, settings.now,
            settings.public_url, settings.partitions,
        )  # fmt: skip
        self.files = files = Files(store, settings.files, self._secret, settings.now)
        self._turns = turns = Turns(
            store, blueprints, dispatcher, metrics, rules, tokens, Placing(classes, fleet), files
        )
        turns.on_timer = self._hint
        turns.on_final = watchers.ended
        self.approvals = Approvals(store, blueprints, turns, background, settings, tokens, self._hint)
        self._cancelling = cancelling = Cancelling(
            store, fleet, self._hint, grace_ms=settings.cancel_grace_ms, history=settings.history
        )
        self._deadlines = Deadlines(turns, cancelling)
        self.limits = Limits(store, settings.partitions, metrics)
        self._tickers = [self._ticker(partition) for partition in range(settings.partitions)]
        self._jobs = jobs = Jobs(
            store, blueprints, turns, watchers, cancelling, background, metrics, settings, files, self._hint
        )
        self._wire_jobs(jobs)
        self._wire_files(jobs)
        self._wire_workers()
        self._wire_stories()

    def _wire_jobs(self, jobs: Jobs) -> None:
        """What clients do with jobs, one by one and many at once."""
        store, settings = self._store, self.settings
        self.submit, self.job, self.jobs, self.wait = jobs.submit, jobs.job, jobs.jobs, jobs.wait
        self.history, self.cancel = jobs.history, jobs.cancel
        self.signal = Signals(store, jobs, self._turns, self._background, history=settings.history).signal
        catalog, costs, batches = Catalog(store), Costs(store), Batches(store, jobs)
        self.tagged, self.find = catalog.tagged, catalog.find
        self.costs, self.durations = costs.costs, costs.durations
        self.bulk = bulk = Bulk(store, jobs, settings, self._hint)
        children = ChildMessages(
            store, self._turns, self._cancelling, self._background.spawn, self._hint, history=settings.history
        )
        for ticker in self._tickers:
            ticker.on_child_message = children.deliver
            ticker.on_cancel, ticker.on_replaced = bulk.cancel_some, bulk.cancel_replaced
        self.start_batch, self.batch, self.cancel_batch = batches.start_batch, batches.batch, batches.cancel_batch
        self.versions = versions = Versions(store, self.blueprints, settings.now, settings.retention_ms)
        self.migrate = Migrations(
            store, self.blueprints, versions, settings.partitions, self._hint, history=settings.history
        ).migrate
        self.connections = Connections(
            store, self.blueprints, settings.connections, jobs.submit, catalog.tagged, self.files.check_inputs
        )
        firing = Firing(jobs.submit, catalog.tagged, jobs.cancel, settings.retention_ms)
        self.schedules = Schedules(store, self.connections, firing, settings.replica)
        self.planning = Planning(store, self.connections, settings.now)

    def _wire_files(self, jobs: Jobs) -> None:
        """Bytes, the jobs that wait for them, and what removes both."""
        store, settings, background = self._store, self.settings, self._background
        inputs = Inputs(store, self._turns, history=settings.history)
        self.files.on_sent = lambda upload: background.spawn(inputs.came(upload))
        self._turns.on_uploads = lambda job, uploads: background.spawn(inputs.expect(job, uploads))
        deletion = Deletion(store, jobs, self._watchers, self.files, cancel_grace_ms=settings.cancel_grace_ms)
        self.delete = deletion.delete
        self._wire_operations(jobs, deletion)
        self._pruning = Pruning(store, self.files, settings.files)
        self.figures = Figures(store, self._pruning.run_once, background.spawn)

    def _wire_operations(self, jobs: Jobs, deletion: Deletion) -> None:
        """What a person does to jobs."""
        store, turns, background, settings = self._store, self._turns, self._background, self.settings
        pausing = Pausing(store, jobs, turns, background, self._hint, history=settings.history)
        retrying = Retrying(store, self.blueprints, jobs, turns, background, settings)
        searching = Searching(store)
        many = ManyJobs(searching, jobs, deletion, pausing, retrying)
        self.operations = Operations(pausing, retrying, searching, many)

    def _wire_workers(self) -> None:
        """What workers do, and what is known of them."""
        store, settings, fleet = self._store, self.settings, self._fleet
        speeds, demand = Speeds(), Demand(store, fleet, self._classes, settings.partitions)
        self._work = work = Work(
            store, self._turns, self._dispatcher, fleet, self._classes, self._background, self.counters, settings,
            self._hint, speeds,
        )  # fmt: skip
        self.poll, self.report, self.report_all = work.poll, work.report, work.report_all
        self.heartbeat, self.progress = work.heartbeat, work.progress
        self.workers, self.wanted, self.order = fleet.workers, demand.wanted, fleet.order
        self.attach_socket, self.detach_socket = fleet.attach, fleet.detach
        self.why = Explaining(store, self.blueprints, fleet, demand, speeds, self._classes, self.limits).why

    def _wire_stories(self) -> None:
        """What tasks tell while they run, and who follows it."""
        self._journal = journal = Journal(self._store, self.settings)
        self._live = live = Live(self._store, self.settings)
        self.take_events, self.logs, self.follow_logs = journal.take_events, journal.logs, journal.follow_logs
        self.steps, self.job_status, self.note_line = journal.steps, journal.status, journal.note_line
        self.last_line = journal.last_line
        self.follow_job, self.follow_pages = live.follow_job, live.follow_pages
        self.follow_tenant, self.follow_tenant_pages = live.follow_tenant, live.follow_tenant_pages

    def _ticker(self, partition: int) -> Ticker:
        return Ticker(
            self._store,
            self._turns,
            self._dispatcher,
            self._classes,
            self._webhooks,
            self.counters,
            escalate=self.approvals.escalate,
            replica=self.settings.replica,
            partition=partition,
            patient_lease_ms=self.settings.registration_ttl_ms,
            history=self.settings.history,
            spawn=self._background.spawn,
            stop=self._fleet.send_cancel,
            overdue=self._deadlines.passed,
        )

    def _hint(self, job: JobId, delay_ms: int) -> None:
        self._tickers[partition_of(job)].hint(delay_ms)

    async def publish_blueprints(self) -> None:
        """Tell the store which graphs of code this replica has, by name and version, and learn what is data."""
        for blueprint in self.blueprints.code():
            graph = graph_json(blueprint.graph).decode()
            await self._store.blueprints.publish(blueprint.name, blueprint.version, graph)
        await self.versions.sync()

    def start(self) -> None:
        for ticker in self._tickers:
            self._background.loop(ticker.run())
        self._background.loop(self._fleet.run())
        self._background.loop(self._classes.run())
        self._background.loop(self._pruning.run())
        self._background.loop(self.schedules.run())
        self._background.loop(self.limits.run())
        self._background.loop(self.versions.run())

    async def tick(self) -> None:
        """Deal with what is due now, in place of the loops of `start`: for whoever moves the clock."""
        for ticker in self._tickers:
            await ticker.run_once()

    async def settled(self) -> None:
        """Returns when nothing is under way that the engine began by itself."""
        await self._background.settled()

    def drain(self) -> None:
        """Send all who wait home and take no new jobs; what runs goes on."""
        self._jobs.draining = self._work.draining = True
        self._watchers.close()
        self._dispatcher.close()
        self._journal.close()
        self._live.close()

    async def stop(self) -> None:
        """Finish the turns under way, then end everything."""
        self.drain()
        await self._background.stop(DRAIN_S)
        await self._webhooks.close()
        self._turns.close()
        self.files.blobs.close()

    def on_message(self, partition: int, text: str) -> None:
        """A message to this replica.

        `b`: a blueprint was changed; `c|class`: work is ready; `d|ms`: something is due then; `j|job`, `l|job`,
        `w|worker`: it, its log changed; `t|…`: a job of a followed tenant did; `x|worker|task`: cancel; `r|class`:
        there is a new one; `o|worker|order|slots`: send it.
        """
        kind, _, rest = text.partition("|")
        self._live.hear(partition, text)
        if kind == "c":
            self._dispatcher.woken(partition, rest)
        elif kind == "j":
            self._watchers.announce(JobId(rest))
        elif kind == "l":
            self._journal.announce(JobId(rest))
        elif kind == "d":
            self._tickers[partition].hint(int(rest))
        elif kind == "w":
            self._fleet.changed_elsewhere(rest)
        elif kind == "b":
            self.versions.hear()
        elif kind == "x":
            worker, _, task = rest.partition("|")
            self._background.spawn(self._send_cancel_here(worker, task))
        elif kind == "r":
            self._background.spawn(self._classes.learn(rest))
        elif kind == "o":
            worker, order, slots = rest.split("|")
            self._background.spawn(self._send_order_here(worker, order, int(slots) if slots else None))

    async def _send_cancel_here(self, worker: str, task: str) -> None:
        await self._fleet.send_cancel_here(worker, task)

    async def _send_order_here(self, worker: str, order: str, slots: int | None) -> None:
        await self._fleet.send_order_here(worker, order, slots)

    def on_reconnect(self) -> None:
        """Messages may have been lost: trust no registration, look at every watched job again."""
        self._dispatcher.forget_registrations()
        self._background.spawn(self._classes.reload())
        self._watchers.announce_all()
        self._journal.announce_all()
        self._live.look_again()
        self.versions.hear()

    async def ready(self) -> bool:
        return not self._jobs.draining and await self._store.ping()

    async def flush(self) -> None:
        await self._store.flush()
        self._fleet.forget()
        self._classes.forget_all()
        self._dispatcher.forget_registrations()
        self._dispatcher.recall()
        self.versions.hear()

    async def register(self, worker: WorkerDescription) -> EngineSettings:
        await self._fleet.register(worker)
        return self.settings

    async def dashboard(self) -> Dashboard:
        queues = [await self._store.queue(partition) for partition in range(self.settings.partitions)]
        workers = await self._fleet.workers()
        busy = sum(worker.status == "busy" or bool(worker.current_tasks) for worker in workers)
        jobs = {status.value: sum(q.jobs.get(status, 0) for q in queues) for status in JobStatus}
        queued = sum(sum(q.ready.values()) for q in queues)
        return Dashboard(
            workers={"total": len(workers), "idle": len(workers) - busy, "busy": busy},
            jobs={"queued": queued, **jobs},
            tasks={"queued": queued, "running": sum(q.leased for q in queues)},
            now=self.settings.now(),
        )

    def webhook_key(self, tenant: str) -> bytes:
        """The key that signs this tenant's webhooks; `whsec_` + base64 of it is what the tenant verifies with."""
        return hmac.new(self._secret, f"webhook|{tenant}".encode(), hashlib.sha256).digest()

    def webhook_secret(self, tenant: str) -> str:
        return "whsec_" + base64.b64encode(self.webhook_key(tenant)).decode()
