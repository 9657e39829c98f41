"""What is said of an error inside cpods itself: one sentence, and all the rest in a crash log.

Knows no command and no build.
"""

import os
import sys
import time
from typing import TextIO

from cpods import __version__

EXIT_CODE = 1


def crashed(state_folder: str, error: BaseException) -> str:
    """Writes the traceback into ``log/`` of a project's state folder (else the temporary folder); the sentence for the user."""
    import platform
    import traceback

    text = "".join(traceback.format_exception(error))
    head = f"cpods {__version__}, Python {platform.python_version()}, {platform.platform()}\n{sys.argv}\n\n"
    what = f"an error inside cpods ({type(error).__name__}: {str(error).partition(chr(10))[0][:200]})"
    try:
        with _crash_log(os.path.join(state_folder, "log")) as file:
            file.write(head + text)
            place = file.name
    except OSError:
        return f"{what}; its details could not be written anywhere, please report it with your project file"
    return f"{what}; nothing that was finished before is lost; please report it together with {place}"


def _crash_log(folder: str) -> TextIO:
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    try:
        os.makedirs(folder, exist_ok=True)
        return open(os.path.join(folder, name), "w", encoding="utf-8", errors="backslashreplace")
    except OSError:
        import tempfile

        return open(os.path.join(tempfile.gettempdir(), f"cpods-{name}"), "w", encoding="utf-8", errors="backslashreplace")
