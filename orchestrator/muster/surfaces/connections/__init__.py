"""The Data Pipelines Agent's document: saved connections, run by name, in the background or all in a row."""
