"""The worker of one machine: carries out orders, serves its store, owns paths.

Knows no graph and no build: orders come in, what was cooked goes out.
"""
