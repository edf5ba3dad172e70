"""What a run reports: its progress, its receipt, and its results as tables and plots.

`progress` is the state of a run, `bars` shows it in a terminal or notebook, `workers` and
`timeline` hold what each worker did and when, `receipts` records it, `markup` makes tables in HTML
and `plots` draws results, in the style of `axes`.
"""
