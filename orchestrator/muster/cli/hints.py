"""What the server advises, said in the words of this program: its hints name requests, people here type commands."""

import re

_COMMANDS = (
    (r"POST /api/v1/jobs/([^/\s]+)/cancel", r"muster job cancel \1"),
    (r"GET /api/v1/jobs/([^/\s]+)/why", r"muster why \1"),
    (r"GET /api/v1/blueprints/([^/\s]+)", r"muster blueprint show \1"),
    (r"GET /api/v1/blueprints", "muster blueprint ls"),
    (r"PUT /api/v1/blueprints/([^/\s]+)/rollout", r"muster blueprint rollout \1 VERSION --share 10"),
    (r"GET /api/v1/connections", "muster pipeline ls"),
    (r"PUT /api/v1/connections/([^/\s]+)", r"muster pipeline save \1"),
    (r"POST /_worker/workers/register first;.*", "muster worker ls"),
    (r'\{"new": true\}', "--new"),
)
_FOR_PROGRAMS = "/openapi.json"
"""A hint that names the schema helps who writes requests; who types commands is helped by `--help`."""


def in_commands(hint: str | None, command: str) -> str:
    """*hint* with commands instead of requests; where there is none, the help of *command* (words, each with a space).

    >>> in_commands("GET /api/v1/jobs/7/why says what it waits for", "job resume ")
    'muster why 7 says what it waits for'
    """
    if not hint or _FOR_PROGRAMS in hint:
        return f"muster {command}--help"
    for request, typed in _COMMANDS:
        hint = re.sub(request, typed, hint)
    return hint
