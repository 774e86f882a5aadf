"""`python -m tests.command.one_command FOLDER MARK SCRIPT`: runs a Python script as a command, repeats its lines."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from muster_worker.command.settings import CommandSettings

from tests.command.running import Bench, FakeCtx


class Speaker(FakeCtx):
    def emit(self, kind: str, **fields: Any) -> None:
        print(fields.get("text", kind), flush=True)


def main() -> None:
    folder, mark, script = sys.argv[1:]
    bench = Bench(CommandSettings.development(folder=Path(folder)), Speaker(), mark)
    asyncio.run(bench.run_python(script))


if __name__ == "__main__":
    main()
