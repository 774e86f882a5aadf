"""Bytes that are too many for Redis: where they lie, what they are called, who may fetch them by URL."""
