"""A MajorDomo's side of a federation: the pods as it sees them, dispatch, what steps see, results shared with others.

Knows no NATS and no SFTP: only the ports Bus and Transfer.
"""
