"""A process that has loaded cpods once and forks a real ``cpods`` for each call: the loading would be most of a test's time.

Knows no project. Started as a script: requests come as JSON lines on stdin, answers go as JSON lines to stdout.
"""

import contextlib
import io
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings

#: A knot behind a plain step, so that every room of the house is entered once.
_PROJECT = """\
[[step]]
name = "plain"
run = "echo 1 > plain.txt"
outputs = ["plain.txt"]
[[step]]
name = "there"
run = "cat plain.txt > there.txt"
inputs = ["plain.txt"]
optional = ["back.txt"]
outputs = ["there.txt"]
[[step]]
name = "back"
run = "cat there.txt > back.txt"
inputs = ["there.txt"]
outputs = ["back.txt"]
"""


def serve() -> None:
    """Answers each request ``{argv, cwd, env, out, err}`` with ``{"pid": …}`` at once and ``{"code": …}`` at its end."""
    _load_all()
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _become(json.loads(line))
        _say({"pid": pid})
        _say({"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), "of": pid})


def _load_all() -> None:
    """Everything that a build loads: by a build, since a user of another id might not even be able to read our Python."""
    import difflib  # noqa: F401  only mistakes load it

    import cpods.cli.mend  # noqa: F401  only who deletes products loads it
    import cpods.store.catalogue  # noqa: F401  only what makes room in a store, or comes upon a store of old, loads it
    from cpods.cli.app import app
    from cpods.cli.interrupts import heard_again

    words, where = sys.argv, os.getcwd()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with open(os.path.join(folder, "cpods.toml"), "w") as file:
            file.write(_PROJECT)
        sys.argv = ["cpods", "rebuild", "--until-stable", "-C", folder, "--report", os.path.join(folder, "report.json")]
        code = app()
    assert code == 0, "the first build of the forking process failed"
    heard_again()  # a build is the last thing that a process does, this one goes on
    sys.argv = words
    os.chdir(where)


def _say(answer: dict[str, int]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _become(request: dict[str, object]) -> None:
    """Never returns: this process is the call now, in a session of its own."""
    os.setsid()
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(dict(request["env"]))  # type: ignore[call-overload]
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, name in ((1, "out"), (2, "err")):
        descriptor = os.open(str(request[name]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(descriptor, number)
        os.close(descriptor)
    _restrict(request)
    sys.argv = ["cpods", *request["argv"]]  # type: ignore[misc]
    code: object = 1
    try:
        from cpods.cli import main

        main()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: B902  as the interpreter would
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _restrict(request: dict[str, object]) -> None:
    """``user``: becomes that user id; ``file_bytes_max``: no file may grow beyond; ``planted``: a function that raises, for once.

    ``ignores``: a signal that is ignored from the start, as nohup does.

    ``killed_at``: a method at whose entrance the process is killed, after ``killed_after`` calls of it, by signal ``killed_by``.
    """
    if "file_bytes_max" in request:
        limit = int(str(request["file_bytes_max"]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if "user" in request and os.geteuid() == 0:
        user = int(str(request["user"]))
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
    if "ignores" in request:
        signal.signal(int(str(request["ignores"])), signal.SIG_IGN)
    if "planted" in request:
        module, name = str(request["planted"]).split(":")
        setattr(sys.modules[module], name, _raise)

    if "killed_at" in request:
        number = int(str(request.get("killed_by", int(signal.SIGKILL))))
        _kill_at(str(request["killed_at"]), int(str(request.get("killed_after", 0))), number)


def _kill_at(place: str, count: int, number: int) -> None:
    """A signal at the entrance of ``module:Class.method``, after ``count`` calls of it that went well."""
    module, _, name = place.partition(":")
    owner = getattr(sys.modules[module], name.partition(".")[0])
    method, left = getattr(owner, name.partition(".")[2]), [count]

    def deadly(*args: object, **words: object) -> object:
        if not left[0]:
            os.kill(os.getpid(), number)
        left[0] -= 1
        return method(*args, **words)

    setattr(owner, method.__name__, deadly)


def _raise(*_: object, **__: object) -> None:
    raise RuntimeError("planted\nmistake")


if __name__ == "__main__":
    warnings.simplefilter("default")
    serve()
