"""All that measures: each benchmark runs the real program beside another one, interleaved.

Knows nothing of cpods' inside.
"""
