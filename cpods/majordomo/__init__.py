"""Drives the build of one project for one user: plans, asks the core what to do, does it through ports, reports.

One module a noun: planning (steps), keys (what decides a result), scene (what stands where), lookup (stored results),
publish (files into the folder), account (what happened), drive (the loop).
"""
