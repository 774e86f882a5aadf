"""Four more documented APIs over the same engine: thin adapters that keep no state and never reach into the store."""
