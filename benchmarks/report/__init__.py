"""``python -m benchmarks report``: the page docs/benchmarks.md and its plots, made from the newest results.

Knows no benchmark's work; each chapter knows the rows of its benchmarks.
"""
