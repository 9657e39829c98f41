"""The store room: objects, manifests, workspaces, the catalogue, and what keeps them in order.

Knows no chef, no scheduler and no network; nothing is imported here, so that a null build stays cheap.
"""
