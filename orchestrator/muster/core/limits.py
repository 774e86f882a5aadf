"""Every bound of the engine, with its reason. Settings may lower or raise those that say so.

The store's scripts read them here too, as `limits.NAME` (`store/scripts/__init__.py`).
"""

from typing import Final

TASKS_PER_COMMIT_MAX: Final = 20
"""One script call stays well under a millisecond (about 12 us a task, ADR 0016); wider fans are spawned in chunks."""
FAN_WIDTH_MAX: Final = 10_000
"""A join's results are read in one turn; beyond this, use batches of jobs."""
UNDO_MAX: Final = 1_000
"""Undos that a job keeps: they are written with each commit, with the results they need."""
RACE_MAX: Final = 20
"""Branches of a race: its tasks go into one commit."""
RACE_CHILDREN_MAX: Final = 10
"""Of them children: each is a job that the same commit makes, about 50 us of the store's time."""
PAUSED_TOGETHER_MAX: Final = 24
"""Jobs that one pause holds: the job and those below it, each about 40 us of the store's time."""
CLAIM_MAX: Final = 64
"""Tasks that one poll may ask for."""
SEATS_PER_CALL_MAX: Final = 12
"""Tasks handed out by one script call (40 us each where all are of different jobs); the rest comes by the next one."""
LEASES_PER_CALL_MAX: Final = 40
"""Leases extended by one script call (about 12 us each); a heartbeat that names more makes more calls."""
TURN_HOPS_MAX: Final = 50
"""`go` transitions run inside one turn before the job is saved in between."""
TRANSITIONS_MAX: Final = 10_000
"""A job that enters more states than this is taken for an endless loop and quarantined."""
TURN_FAILURES_MAX: Final = 3
"""A state function that raises, hangs or returns nonsense this often in a row quarantines its job."""
TURN_LEASE_MS: Final = 15_000
"""After this time without a commit another orchestrator takes the turn over."""
TURN_TIMEOUT_MS: Final = 10_000
"""A state function must have returned by then: less than the lease, so that the owner still may write."""
TASK_LOSSES_MAX: Final = 3
"""A task that loses its worker this often is taken for poison and not handed out again."""
LOSS_SPREAD_MS: Final = 5_000
"""From its second loss on a task comes back within this time, at a moment of its own."""
TASK_REQUEUES_MAX: Final = 1_000
"""Workers may put a task back so often: a task that every worker puts back is somebody's mistake."""
REQUEUE_AFTER_MS: Final = 10_000
"""A task that was put back comes again after this time, where the worker names none."""
TASK_RETRIES: Final = 3
"""Retries after the first attempt, where neither task nor setting says otherwise."""
TASK_TIMEOUT_MS: Final = 300_000
"""Start to close, where the task names no timeout."""
CANCEL_GRACE_MS: Final = 30_000
"""How long a cancelled task's worker may take to answer before the job is cancelled without it."""
RETENTION_MS_MAX: Final = 31_536_000_000
"""A year: how long a job that is over may be kept at most."""
BULK_JOBS_MAX: Final = 500
"""Jobs that one bulk request looks at: each is a few calls to the store."""
LEASES_PER_TICK_MAX: Final = 16
TIMERS_PER_TICK_MAX: Final = 10
TURNS_PER_TICK_MAX: Final = 6
"""What one tick deals with stays below a millisecond; the next one comes at once where more is due (ADR 0016)."""
FIRST_TURNS_IN_A_ROW: Final = 3
"""Of the jobs of one batch, before those of the next batch."""
JOBS_PASSED_OVER_MAX: Final = 64
"""A cancelled batch has many jobs that are over: so many are passed over in one tick."""
SEARCH_JOBS_MAX: Final = 1_000
"""Jobs that one search reads before it answers what it has, with where to go on."""
TASKS_MOVED_PER_TICK_MAX: Final = 20
"""Tasks of resumed jobs that go back to their queues, and those that nobody waits for and that are cleared away."""
CANCELS_PER_TICK_MAX: Final = 50
"""Jobs of a cancelled batch that one tick names."""
CHILD_DEPTH_MAX: Final = 8
"""Jobs above a job. A blueprint that starts itself is stopped here; a cancel walks the whole way down in one script."""
CHILD_MESSAGE_TRIES: Final = 30
"""The start of a spread child, and the wish to cancel it, are tried for 25 minutes; then its parent goes on without."""
CHILD_END_TRIES: Final = 10_000
"""A week, a try a minute: nothing but its child's end lets a parent go on."""
SIGNALS_MAX: Final = 100
"""Signals that a job keeps until it waits for them."""
SIGNAL_BYTES_MAX: Final = 65_536
"""Of one signal's data: all that a job may keep is below 7 MB."""
APPROVERS_MAX: Final = 20
"""Of one question, with all whom it escalates to: each may leave an answer with a form in the job's header."""
DELEGATIONS_MAX: Final = 20
"""Of one question."""
ESCALATIONS_MAX: Final = 5
"""Of one question."""
FORM_BYTES_MAX: Final = 16_384
"""Of one answer's form, as JSON."""
FORM_SCHEMA_BYTES_MAX: Final = 65_536
"""Of a question's forms: they lie in the job's context while it waits."""
ASKING_JOBS_SCAN_MAX: Final = 1_000
"""Open questions that a page of the inbox looks at before it returns what it has."""
UPLOADS_LOOK_MS: Final = 30_000
"""A job that waits for uploads looks again after this time: a lost signal of theirs costs no more."""
CONTEXT_BYTES_MAX: Final = 2_097_152
"""What a job may carry between states (argument, data, history of results)."""
HISTORY_EVENTS_MAX: Final = 1_000
"""Newest events kept per job."""
JSON_DEPTH_MAX: Final = 64
"""Deeper nesting is refused at the edge: some readers recurse."""
WORKER_TASKS_MAX: Final = 256
"""Task types one worker may offer."""
CLASSES_MAX: Final = 1_000
"""Different needs of tasks (with type, and whom they prefer): every sweep looks at them all."""
TAGS_MAX: Final = 8
"""Tags of one job: each is one more index to write."""
TAG_CHARACTERS_MAX: Final = 200
TAG_JOBS_MAX: Final = 10_000
"""Jobs kept per tag, the newest; of live and of final ones each, in every partition."""
FIND_JOBS_MAX: Final = 100_000
"""Jobs of a tenant that a search looks at; about 2 us of the store's time each."""
WEBHOOK_TRIES: Final = 4
"""A webhook is tried this often, 10 s each, with back-off in between."""
PRIORITY_MIN: Final = -31
PRIORITY_MAX: Final = 32
"""Each number is a band of its own. A higher one goes first, and ages: see the two constants below."""
BAND_AGE_MS: Final = 300_000
"""Among the tasks of one flow a band is worth so much waiting: a task is overtaken by one of the next band only if that
came less than five minutes after it, and by one of the other end of the scale within 5 h 15 min."""
BAND_SERVICES: Final = 100
"""Between flows a band is worth so many tasks: a flow one band lower still gets one task of about a hundred."""
SHARE_MAX: Final = 4
"""Tasks that a flow gets at a time while others wait: fewer changes of flow for a claim of many seats."""
TICKET_COST: Final = 256
"""Virtual time of one task at weight 1. Weights are exact to 1/256; a class lasts for 5e11 tasks before scores lose
whole numbers."""
WEIGHT_MIN: Final = 0.1
WEIGHT_MAX: Final = 64.0
LIMIT_TASKS_MAX: Final = 1_000_000
"""Of a limit on running tasks, and of the tasks of a rate."""
BURST_MAX: Final = 100_000
RATE_PERIOD_MAX_MS: Final = 2_678_400_000
"""31 days."""
LIMIT_NAME_CHARACTERS_MAX: Final = 200
"""Of what a limit is for, and of a concurrency key."""
LIMITS_MAX: Final = 10_000
"""Limits of a deployment; of keys, one stands for a whole group."""
CONNECTIONS_MAX: Final = 1_000
"""Saved connections of one tenant, and of the file."""
BLUEPRINT_NAMES_MAX: Final = 1_000
"""Names of blueprints that are data, or steered: every replica holds all of them."""
BLUEPRINT_VERSIONS_MAX: Final = 50
"""Versions of one blueprint that is data, kept for their jobs."""
CRON_CHARACTERS_MAX: Final = 200
SLOT_LATE_MS: Final = 3_600_000
"""A schedule's slot that nobody could run at its time is still run so much later, and only the newest one."""
SLOT_LATE_S_MAX: Final = 604_800
"""At most so late may be asked for: every slot of that time is looked at, ten thousand of a minute's schedule."""
SLOT_ON_TIME_MS: Final = 60_000
"""A slot that starts within this time is not late: another replica needs up to 20 s to take over."""
CATCH_UP_MAX: Final = 1_000
"""Late slots of one schedule that may be asked to be made up for."""
QUEUED_SLOTS_MAX: Final = 100
"""Slots of one schedule that wait for the run before; further ones are skipped."""
BACKFILL_SLOTS_MAX: Final = 10_000
"""Slots of one backfill."""
RECENT_SLOTS_MAX: Final = 50
"""Slots of a schedule whose fate is kept, the newest."""
PREVIEW_SLOTS_MAX: Final = 100
INTERVAL_MS_MIN: Final = 1_000
INTERVAL_MS_MAX: Final = 31_622_400_000
"""366 days."""
JITTER_S_MAX: Final = 3_600
PAUSE_REASON_CHARACTERS_MAX: Final = 500
BATCH_LINES_MAX: Final = 100_000
"""Jobs of one batch that comes as a stream: about 15 MB of the store's memory for their places alone."""
FIRST_TURNS_MAX: Final = 16
"""First turns of batches' jobs that a replica has under way in a partition: other jobs wait for no more than these."""
