"""The loop around a method: batches in, checkpoints and results out."""
