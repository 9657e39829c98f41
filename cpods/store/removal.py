"""Removes folders with all that is in them.

Knows no store. shutil, which loads every kind of compression, is asked only where there is more than an empty folder.
"""

import os


def remove_folder(path: str) -> None:
    """A folder goes, whatever is in it; what cannot be removed stays, and absent is no error."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError:
        import shutil

        shutil.rmtree(path, ignore_errors=True)


def remove_tree(path: str) -> None:
    """As :func:`remove_folder`, but raises OSError for what cannot be removed, FileNotFoundError for an absent folder."""
    import shutil

    shutil.rmtree(path)
