"""cpods: builds projects, circular ones included, on one pod or a federation of them."""

__version__ = "0.1.0"
