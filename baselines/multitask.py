"""Multitask training: the upper bound of the comparison."""

from avbench.method import Method


class Multitask(Method):
    """Train on the clips of all tasks at once: the upper bound, not a continual method."""

    paper = "the upper bound in STELLA, ICML 2024, arXiv 2310.08204"
    joint = True
    over_processes = True
