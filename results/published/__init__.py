"""The paper's figures as CSV files; installed as `avbench.published_figures`, read by `avbench.published`."""
