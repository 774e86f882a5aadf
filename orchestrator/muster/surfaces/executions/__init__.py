"""RGrid's API: scripts as executions, in batches, with inputs, outputs, logs and costs."""
