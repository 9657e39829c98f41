"""The net room: messages and transfer between pods, and their in-memory twins.

Knows no graph, no store and no chef.
"""
