"""The pure middle: who depends on whom, what is stale, and how a knot comes to rest.

Knows no file, no clock, no process; the order of everything comes from positions in the project file.
"""
