"""Training: the trainer, its arguments, checkpoints, sampling and hyperparameter search."""
