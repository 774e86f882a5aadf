"""What a command printed on stdout, as a file in its own directory: never more of it in memory than a buffer."""

import os
import tempfile
from pathlib import Path
from typing import BinaryIO


class Printed:
    """`take` chunks once `folder` is known, then `close`."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._is_broken = False

    def take(self, chunk: bytes) -> None:
        """A disk that is full costs the file, not the command."""
        if self._is_broken or self.folder is None or not chunk:
            return
        try:
            if self._file is None:
                descriptor, name = tempfile.mkstemp(prefix=".stdout-", dir=self.folder)
                self._file, self._path = os.fdopen(descriptor, "wb"), Path(name)
            self._file.write(chunk)
        except OSError:
            self._is_broken = True

    def close(self) -> Path | None:
        """The file; None where nothing was printed, or it could not be written whole."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError:
                self._is_broken = True
        return None if self._is_broken else self._path
