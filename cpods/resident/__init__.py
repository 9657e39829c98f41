"""The resident MajorDomo: watches what builds stood on, answers at once that nothing changed, has builds run when something did.

Knows no terminal and no flag: what a call means is told by the command line.
"""
