"""The HTTP edge: parse, authenticate, name the wish, translate the answer. `routes.py` shows every URL."""
