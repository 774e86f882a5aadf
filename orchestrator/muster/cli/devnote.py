"""`.muster/dev.json`: address and tokens of the development server, so that commands need no setup."""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

FILE_NAME = "dev.json"


@dataclass(frozen=True, slots=True)
class DevNote:
    url: str
    client_token: str
    worker_token: str


def data_dir() -> Path:
    return Path(os.environ.get("MUSTER_DATA_DIR") or ".muster")


def read_note(folder: Path) -> DevNote | None:
    """The note of the last `muster dev` here, or None."""
    try:
        found = json.loads((folder / FILE_NAME).read_text())
        return DevNote(str(found["url"]), str(found["client_token"]), str(found["worker_token"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_note(folder: Path, note: DevNote) -> None:
    """Write it so that only we can read it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{FILE_NAME}.new"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(note), file, indent=2)
    path.replace(folder / FILE_NAME)


def new_token(kind: str) -> str:
    """A token of 32 random bytes that says what it is for, for example `client_…`."""
    return f"{kind}_{secrets.token_urlsafe(32)}"
