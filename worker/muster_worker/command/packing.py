"""A folder that a command left, as one zip: artifacts are single files. Blocks: run it in a thread."""

import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

COMPRESSION_LEVEL: Final = 1
"""Fast: what compresses well does so at any level."""


def packed(source: Path, place: Path) -> Path | None:
    """A new file in *place* with every regular file below *source*; links are left out. None where there is none.

    Raises:
        OSError: it cannot be read or written.
    """
    files = list(_regular_files(source))
    if not files:
        return None
    descriptor, made = tempfile.mkstemp(prefix=".", suffix=".zip", dir=place)
    with (
        os.fdopen(descriptor, "wb") as target,
        zipfile.ZipFile(
            target, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION_LEVEL, strict_timestamps=False
        ) as archive,
    ):
        for path in files:
            archive.write(path, path.relative_to(source))
    return Path(made)


def _regular_files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path
