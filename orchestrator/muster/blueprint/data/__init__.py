"""Blueprints as data: states whose decisions are written down instead of programmed, with JMESPath for what varies."""
