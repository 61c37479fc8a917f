"""A report of many runs, made from their records alone: a page, LaTeX tables and PDF figures."""
