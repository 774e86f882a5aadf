"""The API of document 003: executions, their steps and artifacts, the server's health, a WebSocket that tells all."""
