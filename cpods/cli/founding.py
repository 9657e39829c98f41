"""``cpods federation init | start | stop``: a founder's home, and the steward's process.

Knows not what a steward does.
"""

import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

from cpods.cli.asking import ask_steward, connected
from cpods.cli.desk import told
from cpods.errors import CpodsError, Unavailable, UsageError

if TYPE_CHECKING:
    from cpods.net.identity import Home
    from cpods.steward.process import Post

#: A steward ends its broker, which gets some seconds itself.
STOP_SECONDS = 20.0

_MODULE = "cpods.stewarding"


class Wish(NamedTuple):
    """What the user said of the new federation."""

    name: str
    member: str
    listen: str
    port: int
    reached_as: tuple[str, ...]
    broker: str
    creds: str
    authority: str


def run_init(wish: Wish) -> int:
    """Founds a federation; the exit code."""
    return told(lambda: _init(wish))


def run_start(name: str, foreground: bool) -> int:
    """Starts the steward, or is it; the exit code."""
    if foreground:
        return _serve(name)
    return told(lambda: _start(name))


def run_stop(name: str) -> int:
    """Ends the steward; the exit code."""
    return told(lambda: _stop(name))


async def _init(wish: Wish) -> int:
    from cpods.net.identity import checked_name, homes_folder

    folder = os.path.join(homes_folder(os.environ), checked_name(wish.name))
    if os.path.exists(folder):
        return _already_there(wish.name, folder)
    _check(wish)
    try:
        home = _new_home(folder, wish)
        _start_steward(home)
    except BaseException:  # half a home would be in the way of the next try
        shutil.rmtree(folder, ignore_errors=True)
        raise
    url = _reopened(home).federation.broker
    print(f"federation {wish.name} is founded; its steward runs{'' if wish.broker else ' with a broker'} at {url}")
    print(f"your keys and the founder's are in {folder}: keep them to yourself, and a copy in a safe place")
    print("next: `cpods federation invite NAME` makes a token by which another machine can join")
    return 0


def _already_there(name: str, folder: str) -> int:
    from cpods.net.identity import Home

    home = Home.open(folder)
    if home.identity.role != "founder":
        raise UsageError(f"you are in a federation {name} already, as {home.identity.name}; `cpods federation leave {name}` first")
    pid = _post(home).holder()
    runs = f"its steward runs (process {pid})" if pid else f"its steward does not run: `cpods federation start {name}`"
    print(f"federation {name} is there already (home {folder}); {runs}")
    return 0


def _check(wish: Wish) -> None:
    """Raises UsageError for what does not go together."""
    if not wish.broker and (wish.creds or wish.authority):
        raise UsageError("--creds and --ca belong to --broker URL: the own broker makes its own")
    if wish.broker and (wish.port or wish.reached_as):
        raise UsageError("--port and --reached-as are for the own broker, --broker URL is one elsewhere")
    for option, path in (("--creds", wish.creds), ("--ca", wish.authority)):
        if path and not os.path.isfile(path):
            raise UsageError(f"{option} {path}: there is no such file")


def _new_home(folder: str, wish: Wish) -> "Home":
    """A founder's home, but for what only the started broker knows."""
    from cpods.net.identity import Federation, Home, new_identity
    from cpods.net.nkeypair import Keypair
    from cpods.net.roster import FOUNDER, Roster
    from cpods.steward.settings import Settings

    identity = new_identity(wish.member, wish.name, FOUNDER)
    home = Home(folder)
    home.save_identity(identity)
    authority = ""
    if wish.authority:
        with open(wish.authority, encoding="utf-8") as file:
            authority = file.read()
    home.save_federation(Federation(wish.name, wish.broker, identity.nkey, authority, bool(wish.broker)))
    home.save_roster(Roster(wish.name).with_member(identity.member()).encode(Keypair(identity.nkey_seed)))
    if wish.creds:
        home.keep_credentials(wish.creds)
    Settings(wish.listen, wish.port, wish.reached_as, wish.broker).save(home.founder_folder)
    return home


def _reopened(home: "Home") -> "Home":
    """The home as the steward has completed it."""
    return type(home).open(home.folder)


def _founder_home(name: str) -> "Home":
    """The home of a federation that was founded here. Raises UsageError."""
    from cpods.net.identity import home_of

    home = home_of(name, os.environ)
    if home.identity.role != "founder":
        raise UsageError(f"federation {home.federation.name} was not founded here: its steward runs on the founder's machine")
    return home


def _post(home: "Home") -> "Post":
    from cpods.steward.process import Post

    return Post(home.founder_folder)


def _start_steward(home: "Home") -> str:
    from cpods.steward.process import start_detached

    return start_detached([_MODULE, home.folder], _post(home))


async def _start(name: str) -> int:
    home = _founder_home(name)
    pid = _post(home).holder()
    if pid:
        print(f"the steward of {home.federation.name} runs already (process {pid}) at {home.federation.broker}")
        return 0
    url = _start_steward(home)
    print(f"the steward of {home.federation.name} runs at {url}")
    return 0


def _serve(name: str) -> int:
    from cpods import stewarding
    from cpods.cli.desk import say_error

    try:
        return stewarding.main([_founder_home(name).folder])
    except CpodsError as error:
        say_error(str(error))
        return error.exit_code


async def _stop(name: str) -> int:
    from cpods.steward.process import end, wait_for_end

    home = _founder_home(name)
    post = _post(home)
    pid = post.holder()
    if pid is None:
        print(f"the steward of {home.federation.name} does not run here")
        return 0
    try:
        await _ask_to_stop(home.federation.name)
        ended = wait_for_end(pid, STOP_SECONDS)
    except CpodsError:  # it does not hear us: its broker may be gone
        ended = end(post, pid, STOP_SECONDS)
    if not ended and not end(post, pid, STOP_SECONDS):
        raise Unavailable(f"the steward (process {pid}) does not end; its log is {post.log}")
    print(f"the steward of {home.federation.name} has ended")
    return 0


async def _ask_to_stop(name: str) -> None:
    from cpods.net.questions import Okay
    from cpods.net.stewardship import StopSteward

    async with connected(name) as (home, bus):
        await ask_steward(home, bus, StopSteward(), Okay)
