"""A strategy and a scenario for avbench."""
