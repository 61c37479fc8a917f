"""What runs of several seeds show: means and intervals, paired comparisons, ranks, and how sure they are."""
