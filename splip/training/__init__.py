"""The training loop around a method: it reads batches, and writes checkpoints and results."""
