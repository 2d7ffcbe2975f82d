"""Training: models, data, objectives, optimizers, metrics, and the trainer of a run."""
