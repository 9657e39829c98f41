"""What all tests share.

Knows no room.
"""


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long texts do not name a test: keys are made anew in each process, and all processes must find the same tests."""
    return argname if isinstance(val, str | bytes) and len(val) > 40 else None
