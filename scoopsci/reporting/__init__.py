"""What a run tells: its progress, its receipt, and its results as tables and plots.

`progress` is what is told, `bars` shows it in a terminal or notebook, `workers` and `timeline` hold
who did what and when, `receipts` records it, `markup` and `plots` draw results.
"""
