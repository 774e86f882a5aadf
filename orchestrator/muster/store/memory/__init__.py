"""The store in plain dicts: what `tests/store` holds the scripts against, and a store for tests of the engine.

It says what each operation means, not how a server does it. Start with `partition.py`.
"""

from muster.store.memory.store import MemoryState, MemoryStore

__all__ = ["MemoryState", "MemoryStore"]
