"""Fine-tuning: the lower bound of the comparison."""

from avbench.method import Method


class Finetune(Method):
    """Train on the stream as it comes, with nothing against forgetting."""

    paper = "the lower bound in STELLA, ICML 2024, arXiv 2310.08204"
    over_processes = True
