"""The scheduler: what runs next, where, and how.

Knows no store, no chef and no network.
"""
