"""The only code that knows Redis. Each method of a store is one script call; policy stays in `core`."""
