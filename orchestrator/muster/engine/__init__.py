"""The shell around the core: load, decide, commit; wait, wake, tick. Knows no HTTP server and no Redis command."""
