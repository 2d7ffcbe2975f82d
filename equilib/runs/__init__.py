"""Runs as they are recorded: requests, folders, records, checkpoints, metrics, reporters."""
