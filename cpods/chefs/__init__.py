"""Chefs: plug-ins that plan steps, read what tools report, and judge what readers can see.

Know no store, no scheduler and no network.
"""
