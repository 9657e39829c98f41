"""The error tree: every error is one sentence (what, where, what to do) with an exit code.

CpodsError
  UsageError            2   bad call or bad project
    ProjectFileError    2   file, line, what was expected
    CircleError         2   a circle in which no step can start
    MissingInputError   2   an input that nothing can make
  StepFailed            1
  Diverges              4
  Oscillates            3
  Unavailable           5   federation unreachable, or no pod fits
  StoreDamaged          6   store or catalogue cannot be used
  Locked                7
  Interrupted         130
"""


class CpodsError(Exception):
    """An error that the user is told in one sentence."""

    exit_code = 1
    status = "failed"


class UsageError(CpodsError):
    """The call or the project is wrong; nothing was run."""

    exit_code = 2
    status = "invalid"


class ProjectFileError(UsageError):
    """A project file is wrong. ``where`` is ``file:line`` or ``file``."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.where = where


class CircleError(UsageError):
    """A circle in which no step can start: each waits for an input that only they could make."""


class MissingInputError(UsageError):
    """A required input that is not there and that no step can make."""


class StepFailed(CpodsError):
    """A step ended with an error."""

    exit_code = 1
    status = "failed"


class Oscillates(CpodsError):
    """A knot returns to an earlier state: no number of passes helps."""

    exit_code = 3
    status = "period"


class Diverges(CpodsError):
    """A knot's state was still new after the last allowed pass."""

    exit_code = 4
    status = "diverges"


class Unavailable(CpodsError):
    """The federation cannot be reached, or no pod can run a step."""

    exit_code = 5
    status = "unavailable"


class StoreDamaged(CpodsError):
    """The store or the catalogue cannot be used as it is."""

    exit_code = 6
    status = "damaged"


class Locked(CpodsError):
    """Another process builds this project."""

    exit_code = 7
    status = "locked"


class Interrupted(CpodsError):
    """The user stopped the build."""

    exit_code = 130
    status = "interrupted"
