"""Every log event, by name. A name is never reused for another meaning: people alert on them."""

from typing import Final

SERVER_STARTED: Final = "server.started"
SERVER_READY: Final = "server.ready"
SERVER_DRAINING: Final = "server.draining"
SERVER_STOPPED: Final = "server.stopped"

HTTP_REQUEST: Final = "http.request"
"""One answered request: `method`, `route`, `status`, `duration_ms`, `request_id`."""
HTTP_FAILED: Final = "http.failed"
"""A request that ended in an error of ours: the same fields and the exception."""
AUTH_REFUSED: Final = "auth.refused"
"""A credential that was missing, unknown or not meant for this: `route`, `reason`."""
STORE_FLUSHED: Final = "store.flushed"

WORKER_REGISTERED: Final = "worker.registered"
WORKER_SOCKET_OPENED: Final = "worker.socket_opened"
WORKER_SOCKET_CLOSED: Final = "worker.socket_closed"
WORKER_STREAM_ENDED: Final = "worker.stream_ended"
"""No more tasks over this socket: `code` says why, `unanswered` or that of an error."""
WORKER_FRAME_IGNORED: Final = "worker.frame_ignored"
WORKER_LOST: Final = "worker.lost"

JOB_ACCEPTED: Final = "job.accepted"
JOB_ENDED: Final = "job.ended"
JOB_QUARANTINED: Final = "job.quarantined"
TURN_FAILED: Final = "turn.failed"
LEASE_EXPIRED: Final = "lease.expired"
WEBHOOK_DELIVERED: Final = "webhook.delivered"
WEBHOOK_GIVEN_UP: Final = "webhook.given_up"

STORE_LOST: Final = "store.lost"
STORE_BACK: Final = "store.back"
FLEET_COUNTS_UNAVAILABLE: Final = "metrics.fleet_counts_unavailable"

BLUEPRINTS_LOADED: Final = "blueprints.loaded"
BLUEPRINTS_REFUSED: Final = "blueprints.refused"
