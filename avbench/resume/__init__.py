"""How a run survives a stop: checkpoints on disk, and all state as tensors and plain data."""
