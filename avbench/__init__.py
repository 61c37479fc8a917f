"""avbench: a benchmarking suite for continual audio-video pre-training."""

__version__ = "0.1.0"
