"""A sweep: every run of a grid, planned, made in parallel, continued after a stop, and watched."""
