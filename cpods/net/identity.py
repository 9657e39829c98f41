"""Who a member is, and its home: the folder where it keeps its keys and what it knows of its federation.

Knows no connection and no message.
"""

import os
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cpods.errors import UsageError
from cpods.net import nkeypair
from cpods.net.nkeypair import Keypair
from cpods.net.privatefiles import locked_folder, read_private, write_private
from cpods.net.roster import ROLES, Member, Roster
from cpods.net.subjects import token
from cpods.net.wire import BadMessage

HOME_VARIABLE = "CPODS_HOME"
_CREDENTIALS = "broker.creds"
Part = TypeVar("Part", bound=msgspec.Struct)
_IDENTITY, _FEDERATION, _AUTHORITY, _ROSTER = "identity.json", "federation.json", "ca.pem", "roster.json"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """A member with its secrets: ``nkey_seed``, ``ssh_key`` to log in with, ``host_key`` to be known by as an SSH host.

    SSH keys are Ed25519; the private ones OpenSSH PEM text, the public ones a line without a comment.
    """

    name: str
    federation: str
    role: str
    nkey: str
    nkey_seed: str
    ssh_key: str
    ssh_public: str
    host_key: str
    host_public: str

    def __repr__(self) -> str:
        """Without the secrets: it may get into a log."""
        return f"<Identity {self.name} of {self.federation}, {self.role}, {self.nkey}>"

    def member(self) -> Member:
        """What others know of it."""
        return Member(self.name, self.role, self.nkey, self.ssh_public, self.host_public)


class Federation(msgspec.Struct, frozen=True):
    """What a member must know to connect: ``broker`` (``tls://host:port``), the public NKey that signs the roster, the authority.

    ``external``: the broker is not the founder's child process. ``ca_pem`` empty: the system's authorities (external only).
    """

    name: str
    broker: str
    founder: str
    ca_pem: str
    external: bool = False


def new_identity(name: str, federation: str, role: str) -> Identity:
    """A member with new keys. Raises UsageError for a name or role that cannot be."""
    checked_name(name)
    checked_name(federation)
    if role not in ROLES:
        raise UsageError(f"{role!r} is not a role; there are {', '.join(ROLES)}")
    seed = nkeypair.new_seed()
    ssh_key, ssh_public = _new_ssh_key()
    host_key, host_public = _new_ssh_key()
    return Identity(
        name=name,
        federation=federation,
        role=role,
        nkey=Keypair(seed).public,
        nkey_seed=seed,
        ssh_key=ssh_key,
        ssh_public=ssh_public,
        host_key=host_key,
        host_public=host_public,
    )


def checked_name(name: str) -> str:
    """``name``, if a federation or a member can be called so. Raises UsageError."""
    try:
        return token(name)
    except ValueError as error:
        raise UsageError(f"{name!r} cannot be a name here: 1 to 64 letters (a-z), digits, '-' or '_' are allowed") from error


def _new_ssh_key() -> tuple[str, str]:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return private.decode("ascii"), key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")


class Home:
    """A member's folder. Made with :meth:`open` it is complete; made empty, each ``save_...`` adds its part.

    Asking for a part that is not there raises UsageError.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._identity: Identity | None = None
        self._federation: Federation | None = None
        self._roster: Roster | None = None

    @classmethod
    def open(cls, folder: str) -> "Home":
        """Reads a home. Raises UsageError if it is none, is damaged, or if others can read its keys."""
        home = cls(folder)
        home._identity = home._read(_IDENTITY, Identity)
        home._federation = msgspec.structs.replace(home._read(_FEDERATION, Federation), ca_pem=home._bytes(_AUTHORITY).decode())
        home._roster = home._decoded(home._bytes(_ROSTER), home._federation)
        home._check()
        return home

    @property
    def founder_folder(self) -> str:
        """Where the founder keeps what is its alone: the authority's key, the broker's files, invites."""
        return os.path.join(self.folder, "founder")

    @property
    def credentials(self) -> str:
        """The file of credentials for an external broker that wants them, '' if there is none."""
        path = self._path(_CREDENTIALS)
        return path if os.path.exists(path) else ""

    def keep_credentials(self, path: str) -> None:
        """Copies a .creds file into the home. Raises OSError."""
        with open(path, "rb") as file:
            write_private(self._path(_CREDENTIALS), file.read())

    @property
    def identity(self) -> Identity:
        """The member itself."""
        if self._identity is None:
            raise self._incomplete(_IDENTITY)
        return self._identity

    @property
    def federation(self) -> Federation:
        """How to reach the federation."""
        if self._federation is None:
            raise self._incomplete(_FEDERATION)
        return self._federation

    @property
    def roster(self) -> Roster:
        """The newest roster that was saved; verified."""
        if self._roster is None:
            raise self._incomplete(_ROSTER)
        return self._roster

    def save_identity(self, identity: Identity) -> None:
        """Writes the keys. Raises OSError."""
        write_private(self._path(_IDENTITY), _text(identity))
        self._identity = identity

    def save_federation(self, federation: Federation) -> None:
        """Writes how to reach the federation. Raises OSError."""
        write_private(self._path(_AUTHORITY), federation.ca_pem.encode())
        write_private(self._path(_FEDERATION), _text(msgspec.structs.replace(federation, ca_pem="")))
        self._federation = federation

    def save_roster(self, data: bytes) -> Roster:
        """Takes a roster as the founder signed it, unless one as new is here; returns the one that holds now.

        Several processes of one member may do so at once. :meth:`save_federation` comes first. Raises BadMessage if it is not
        the founder's, OSError.
        """
        came = Roster.decode(data, self.federation.founder)
        if came.federation != self.federation.name:
            raise BadMessage(f"a roster of federation {came.federation} came, this is {self.federation.name}")
        with locked_folder(self.folder):
            present = self._newest_here()
            if present is None or present.newest(came) is came:
                write_private(self._path(_ROSTER), data)
                present = came
        self._roster = present
        return present

    def _newest_here(self) -> Roster | None:
        """Of this object's and the folder's. A damaged file counts as none: it is about to be replaced."""
        try:
            there = self._decoded(self._bytes(_ROSTER), self.federation)
        except UsageError:
            return self._roster
        return there if self._roster is None else self._roster.newest(there)

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def _bytes(self, name: str) -> bytes:
        try:
            return read_private(self._path(name))
        except FileNotFoundError as error:
            raise self._incomplete(name) from error
        except OSError as error:
            raise UsageError(f"{self._path(name)} cannot be read: {error.strerror}") from error

    def _read(self, name: str, kind: type[Part]) -> Part:
        try:
            return msgspec.json.decode(self._bytes(name), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{self._path(name)} is damaged: {error}; join the federation again") from error

    def _decoded(self, data: bytes, federation: Federation) -> Roster:
        try:
            return Roster.decode(data, federation.founder)
        except (BadMessage, ValueError) as error:
            raise UsageError(f"{self._path(_ROSTER)} is damaged: {error}; join the federation again") from error

    def _check(self) -> None:
        """The parts of a home belong together, and the secret is that of the member."""
        try:
            public = Keypair(self.identity.nkey_seed).public
        except ValueError:
            public = ""
        same = {self.identity.federation, self.federation.name, self.roster.federation}
        if public != self.identity.nkey or len(same) > 1:
            raise UsageError(f"the files in {self.folder} do not belong together; join the federation again")

    def _incomplete(self, name: str) -> UsageError:
        return UsageError(f"{self.folder} is not a member's home ({name} is missing); `cpods federation join TOKEN` makes one")


def _text(part: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(part), indent=2) + b"\n"


def homes_folder(environment: Mapping[str, str]) -> str:
    """Where a user's homes are, one folder per federation: ``$CPODS_HOME``, else ``~/.config/cpods``."""
    chosen = environment.get(HOME_VARIABLE)
    if chosen:
        return os.path.abspath(chosen)
    return os.path.join(environment.get("HOME") or os.path.expanduser("~"), ".config", "cpods")


def home_of(name: str, environment: Mapping[str, str]) -> Home:
    """The home in federation ``name``; '' for the only one there is. Raises UsageError if there is none, or for '' several."""
    folder = homes_folder(environment)
    there = _homes(folder)
    if not name:
        if len(there) > 1:
            raise UsageError(f"you are in several federations ({', '.join(there)}); say which one")
        if not there:
            raise UsageError(f"you are in no federation (no home in {folder}); `cpods federation init` or `join` makes one")
        name = there[0]
    if checked_name(name) not in there:
        known = f"you are in {', '.join(there)}" if there else "you are in none"
        raise UsageError(f"you are not in federation {name} (no home in {folder}); {known}")
    return Home.open(os.path.join(folder, name))


def _homes(folder: str) -> list[str]:
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [name for name in names if os.path.isfile(os.path.join(folder, name, _IDENTITY))]
