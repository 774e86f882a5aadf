"""Writes the pages that are drawn from code: `python docs/generate.py`. A test says when one of them is stale."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from muster.blueprint.data.document import document_schema
from muster.core.draw import lifecycle_markdown
from muster.errors import STATUS_OF, ErrorCode
from muster.settings import FROM_A_FILE, Settings, variable
from muster.store.keys import KEY_KINDS

HERE: Final = Path(__file__).parent


def blueprint_schema() -> str:
    """For editors: the form of a blueprint that is data."""
    return json.dumps(document_schema(), indent=1, ensure_ascii=False) + "\n"


def keyspace_markdown() -> str:
    rows = [f"| `{_cell(kind.pattern)}` | {kind.type} | {kind.lifetime} | {kind.holds} |" for kind in KEY_KINDS]
    return f"""\
# Keyspace

<!-- Written by docs/generate.py from orchestrator/muster/store/keys.py. Change that, not this. -->

Every key that Muster writes. In front of each stands a hash tag: the partition's, such as `{{muster0.0}}`, or the
global one, `{{muster.g}}`. All keys of one job carry one tag, so a job lives wholly in one slot of a cluster and every
script touches one slot. Strings of users never stand in a key: `<class>`, `<flow>`, `<tenant>` and `<key>` are hashes.

- `structure`: bounded by configuration; never expires.
- `live`: belongs to a job that is not final, or to a task, message or timer of one; goes with it.
- `expires`: carries a time to live from the start.

| key | type | lifetime | holds |
|---|---|---|---|
{chr(10).join(rows)}

`PUBLISH`ed, not stored: `!<replica>` below a partition's tag, one channel for each orchestrator process, and
`!all` for all of them.
"""


def errors_markdown() -> str:
    rows = [f"| [{code}]({code}.md) | {STATUS_OF[code]} | {_meaning(code)} |" for code in ErrorCode]
    return f"""\
# Errors

<!-- Written by docs/generate.py from orchestrator/muster/errors.py and the pages beside this one. -->

Every refusal is `application/problem+json` (RFC 9457): `status`, `title`, `detail`, and a stable `code` to program
against. Often `hint` says what to do, and further members name what was wrong (`errors`, `allowed`, `parameter`).

| code | status | meaning |
|---|---|---|
{chr(10).join(rows)}
"""


def _meaning(code: ErrorCode) -> str:
    """The page's first sentence: the paragraph below the status."""
    return (HERE / "errors" / f"{code}.md").read_text().split("\n\n")[2].replace("\n", " ")


def configuration_markdown() -> str:
    rows = [_setting(name) for name in Settings.model_fields]
    return f"""\
# Configuration

<!-- Written by docs/generate.py from orchestrator/muster/settings.py. Change that, not this. -->

A setting comes from a flag of the command, else from the environment, else from its default. There is no file of
settings. A misspelt `MUSTER_` variable is an error with a suggestion, and `muster config show` prints every setting,
its value and where it came from.

Secrets may also come from a file, whose path these name:
{", ".join(f"`{variable(name)}_FILE`" for name in FROM_A_FILE)}.

`MUSTER_MODE=production` refuses to start while something is unsafe: no tokens, short or well-known tokens, no
`MUSTER_REDIS_URL`, a store that evicts keys or is too old. Each refusal names the setting and the fix.

| variable | default | meaning |
|---|---|---|
{chr(10).join(rows)}

## Workers and clients

Processes of the SDK and the client read these instead:

| variable | default | meaning |
|---|---|---|
| `MUSTER_URL` | `http://127.0.0.1:8080` | Orchestrators, separated by commas; the next is tried when one fails. |
| `MUSTER_CLIENT_TOKEN` | - | The client's token. |
| `MUSTER_WORKER_TOKEN` | - | The worker's token; or `MUSTER_WORKER_TOKEN_FILE`. |
| `MUSTER_WORKER_TLS_CERT`, `MUSTER_WORKER_TLS_KEY` | - | PEM files: the worker's certificate, instead of a token. |
| `MUSTER_WORKER_ID` | host, process and a random part | The worker's name. Two processes must never share one. |
| `MUSTER_WORKER_SLOTS` | `10` | Tasks at a time. |
| `MUSTER_WORKER_PRICE_PER_SECOND` | `0` | What a second of a running task costs, in EUR. |
| `MUSTER_WORKER_LABELS` | | What tasks may need, such as `gpu=a100,region=eu`. |
| `MUSTER_WORKER_HEALTH` | - | Port, or `host:port`, of `GET /health` and `/ready`; without a host for this machine. |
| `MUSTER_WORKER_RESOURCES` | | What the machine has, such as `cpu=4,memory=8GB,gpu=1,vram=24GB`. |
| `MUSTER_COMMANDS_FILE` | - | What a worker with `--commands` may run: [commands.md](commands.md). |
"""


def _setting(name: str) -> str:
    field = Settings.model_fields[name]
    meaning = " ".join((field.description or "").split())
    return f"| `{variable(name)}` | {_default(field.default)} | {_cell(meaning)} |"


def _default(value: object) -> str:
    if value is None or value == ():
        return "-"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "lifecycle.md": lifecycle_markdown,
    "keyspace.md": keyspace_markdown,
    "errors/README.md": errors_markdown,
    "configuration.md": configuration_markdown,
    "blueprint.schema.json": blueprint_schema,
}


def main() -> None:
    for name, page in PAGES.items():
        (HERE / name).write_text(page())


if __name__ == "__main__":
    main()
