"""A member's home holds its secrets for itself alone, and says in one sentence what is wrong with it."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import asyncssh
import pytest

from cpods.errors import UsageError
from cpods.net import certificates
from cpods.net.identity import Federation, Home, Identity, home_of, homes_folder, new_identity
from cpods.net.nkeypair import Keypair
from cpods.net.privatefiles import read_private, write_private
from cpods.net.roster import Roster
from cpods.net.wire import BadMessage

FOUNDER = new_identity("boss", "lab", "founder")
A = new_identity("a", "lab", "pod")
SIGNER = Keypair(FOUNDER.nkey_seed)
ROSTER = Roster("lab").with_member(FOUNDER.member()).with_member(A.member())
_, CA = certificates.new_authority("lab")
FEDERATION = Federation("lab", "tls://127.0.0.1:4222", FOUNDER.nkey, CA)


def filled(folder: Path, identity: Identity = A, federation: Federation = FEDERATION, roster: Roster = ROSTER) -> Home:
    """A complete home."""
    home = Home(str(folder))
    home.save_identity(identity)
    home.save_federation(federation)
    home.save_roster(roster.encode(SIGNER))
    return home


def test_what_was_saved_is_there_again(tmp_path: Path) -> None:
    saved = filled(tmp_path / "lab")
    home = Home.open(str(tmp_path / "lab"))
    assert home.identity == saved.identity == A
    assert home.federation == saved.federation == FEDERATION
    assert home.roster == saved.roster == ROSTER
    assert home.founder_folder == str(tmp_path / "lab" / "founder")
    assert (tmp_path / "lab" / "ca.pem").read_text() == CA


def test_an_external_broker_may_have_a_certificate_that_the_system_trusts(tmp_path: Path) -> None:
    federation = Federation("lab", "tls://nats.example.org:4222", FOUNDER.nkey, "", external=True)
    filled(tmp_path, federation=federation)
    assert Home.open(str(tmp_path)).federation == federation


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        filled(tmp_path / "lab")
    finally:
        os.umask(before)
    files = list((tmp_path / "lab").iterdir())
    assert sorted(file.name for file in files) == ["ca.pem", "federation.json", "identity.json", "roster.json"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "lab").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["identity.json", "federation.json", "roster.json", "ca.pem"])
def test_a_home_that_others_can_read_is_refused(tmp_path: Path, name: str) -> None:
    filled(tmp_path)
    (tmp_path / name).chmod(0o640)
    with pytest.raises(UsageError, match=f"{name} holds secrets and is open to others; `chmod 600"):
        Home.open(str(tmp_path))


@pytest.mark.parametrize("name", ["identity.json", "federation.json", "roster.json", "ca.pem"])
def test_a_part_that_is_missing(tmp_path: Path, name: str) -> None:
    filled(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(UsageError, match=f"not a member's home \\({name} is missing\\); `cpods federation join TOKEN`"):
        Home.open(str(tmp_path))


@pytest.mark.parametrize("name", ["identity.json", "federation.json", "roster.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[1, 2]"])
def test_a_part_that_is_damaged(tmp_path: Path, name: str, content: bytes) -> None:
    filled(tmp_path)
    write_private(str(tmp_path / name), content)
    with pytest.raises(UsageError, match=f"{name} is damaged: .*; join the federation again"):
        Home.open(str(tmp_path))


def test_a_part_that_is_a_folder(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "identity.json").unlink()
    (tmp_path / "identity.json").mkdir()
    with pytest.raises(UsageError, match=r"identity\.json cannot be read: Is a directory"):
        Home.open(str(tmp_path))


@pytest.mark.parametrize(
    "identity",
    [
        new_identity("a", "other", "pod"),
        Identity(**{name: "x" if name == "nkey_seed" else getattr(A, name) for name in A.__struct_fields__}),
        Identity(**{name: FOUNDER.nkey_seed if name == "nkey_seed" else getattr(A, name) for name in A.__struct_fields__}),
    ],
    ids=["another federation", "no seed", "another's seed"],
)
def test_parts_that_do_not_belong_together(tmp_path: Path, identity: Identity) -> None:
    filled(tmp_path, identity)
    with pytest.raises(UsageError, match="do not belong together; join the federation again"):
        Home.open(str(tmp_path))


def test_a_founder_key_that_is_none(tmp_path: Path) -> None:
    filled(tmp_path).save_federation(Federation("lab", "tls://h:1", "U", CA))
    with pytest.raises(UsageError, match=r"roster\.json is damaged: .* not a public NKey"):
        Home.open(str(tmp_path))


@pytest.mark.parametrize("part", [lambda home: home.identity, lambda home: home.federation, lambda home: home.roster])
def test_an_empty_home_says_what_is_missing(tmp_path: Path, part: Callable[[Home], object]) -> None:
    with pytest.raises(UsageError, match="is missing"):
        part(Home(str(tmp_path)))


def test_an_older_roster_never_replaces_a_newer_one(tmp_path: Path) -> None:
    home = filled(tmp_path)
    newer = ROSTER.without("a")
    assert home.save_roster(newer.encode(SIGNER)) == newer
    assert home.save_roster(ROSTER.encode(SIGNER)) == newer
    assert home.save_roster(Roster("lab", newer.version).encode(SIGNER)) == newer
    assert Home.open(str(tmp_path)).roster == newer
    opened = Home.open(str(tmp_path))
    assert opened.save_roster(ROSTER.encode(SIGNER)) == newer


def test_a_newer_roster_of_another_process_is_not_overwritten(tmp_path: Path) -> None:
    """The founder's steward and the founder's builds share a home."""
    first = filled(tmp_path)
    second, empty = Home.open(str(tmp_path)), Home(str(tmp_path))
    middle, newest = ROSTER.without("a"), ROSTER.without("a").with_member(new_identity("b", "lab", "pod").member())
    second.save_roster(newest.encode(SIGNER))
    empty.save_federation(FEDERATION)
    for home in (first, empty):
        assert home.save_roster(middle.encode(SIGNER)) == home.roster == newest
    assert Home.open(str(tmp_path)).roster == newest


SAVE = """
import sys
from cpods.net.identity import Home
home = Home.open(sys.argv[1])
for line in sys.stdin.buffer.read().splitlines():
    home.save_roster(line)
"""


def test_several_processes_save_rosters_at_once(tmp_path: Path) -> None:
    filled(tmp_path)
    rosters = [Roster("lab", 10 + number).encode(SIGNER) for number in range(20)]
    children = [subprocess.Popen([sys.executable, "-c", SAVE, str(tmp_path)], stdin=subprocess.PIPE) for _ in range(3)]
    for child, part in zip(children, (rosters[::2], rosters[1::2], rosters[::-1]), strict=True):
        assert child.stdin is not None
        child.stdin.write(b"\n".join(part))
        child.stdin.close()
    assert [child.wait() for child in children] == [0, 0, 0]
    assert Home.open(str(tmp_path)).roster.version == 29


def test_a_damaged_roster_is_replaced_by_a_good_one(tmp_path: Path) -> None:
    home = filled(tmp_path)
    write_private(str(tmp_path / "roster.json"), b"damaged")
    newer = ROSTER.without("a")
    assert home.save_roster(newer.encode(SIGNER)) == newer == Home.open(str(tmp_path)).roster


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "no roster"),
        (ROSTER.without("a").encode(Keypair(A.nkey_seed)), "did not sign"),
        (Roster("other", 99).encode(SIGNER), "of federation other came, this is lab"),
    ],
)
def test_a_roster_that_is_not_the_founders_changes_nothing(tmp_path: Path, data: bytes, sentence: str) -> None:
    home = filled(tmp_path)
    with pytest.raises(BadMessage, match=sentence):
        home.save_roster(data)
    assert home.roster == Home.open(str(tmp_path)).roster == ROSTER


def test_the_first_roster_of_a_new_home_is_of_its_federation_too(tmp_path: Path) -> None:
    """A founder may use one key for two federations."""
    home = Home(str(tmp_path))
    home.save_federation(FEDERATION)
    with pytest.raises(BadMessage, match="of federation other came, this is lab"):
        home.save_roster(Roster("other", 99).encode(SIGNER))


def test_secrets_stay_out_of_logs() -> None:
    shown = repr(A)
    assert "a of lab" in shown and A.nkey in shown
    assert A.nkey_seed not in shown and "PRIVATE" not in shown


def test_keys_are_new_each_time_and_open_with_ssh() -> None:
    other = new_identity("a", "lab", "pod")
    assert len({A.nkey, other.nkey, A.ssh_public, other.ssh_public, A.host_public, other.host_public}) == 6
    for private, public in ((A.ssh_key, A.ssh_public), (A.host_key, A.host_public)):
        key = asyncssh.import_private_key(private)
        assert key.get_algorithm() == "ssh-ed25519"
        assert key.convert_to_public() == asyncssh.import_public_key(public)
    assert Keypair(A.nkey_seed).public == A.nkey


@pytest.mark.parametrize("name", ["", "a.b", "../x", "a b", "x" * 65, "é", "a/b", ">"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a name here: 1 to 64 letters"):
        new_identity(name, "lab", "pod")
    with pytest.raises(UsageError, match="cannot be a name"):
        new_identity("a", name, "pod")


def test_a_role_that_is_none() -> None:
    with pytest.raises(UsageError, match="'king' is not a role; there are founder, majordomo, pod"):
        new_identity("a", "lab", "king")


def test_where_homes_are(tmp_path: Path) -> None:
    assert homes_folder({"CPODS_HOME": "/x/y", "HOME": "/h"}) == "/x/y"
    assert homes_folder({"HOME": "/h"}) == "/h/.config/cpods"
    assert homes_folder({"CPODS_HOME": "", "HOME": "/h"}) == "/h/.config/cpods"
    assert os.path.isabs(homes_folder({"CPODS_HOME": "relative"}))


def test_the_only_home_needs_no_name(tmp_path: Path) -> None:
    environment = {"CPODS_HOME": str(tmp_path)}
    with pytest.raises(UsageError, match="you are in no federation"):
        home_of("", environment)
    with pytest.raises(UsageError, match=r"not in federation lab .*; you are in none"):
        home_of("lab", environment)
    filled(tmp_path / "lab")
    (tmp_path / "no-home").mkdir()
    (tmp_path / "file").touch()
    assert home_of("", environment).identity == A
    assert home_of("lab", environment).identity == A
    with pytest.raises(UsageError, match=r"not in federation other .*; you are in lab"):
        home_of("other", environment)
    filled(tmp_path / "lab2", new_identity("a", "lab", "pod"))
    with pytest.raises(UsageError, match=r"several federations \(lab, lab2\); say which one"):
        home_of("", environment)
    with pytest.raises(UsageError, match="cannot be a name"):
        home_of("../lab", environment)


def test_no_homes_folder_at_all(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in ("nowhere", "file"):
        with pytest.raises(UsageError, match="you are in no federation"):
            home_of("", {"CPODS_HOME": str(tmp_path / folder)})


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(str(path), b"one")
    write_private(str(path), b"two")
    assert read_private(str(path)) == b"two"
    with pytest.raises(TypeError):
        write_private(str(path), "no bytes")  # type: ignore[arg-type]
    (tmp_path / "folder" / "in").mkdir(parents=True)
    with pytest.raises(OSError):
        write_private(str(tmp_path / "folder"), b"not over a folder")
    assert read_private(str(path)) == b"two"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder", "secret"]


def test_a_planted_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"theirs")
    (tmp_path / "secret").symlink_to(tmp_path / "other")
    write_private(str(tmp_path / "secret"), b"mine")
    assert (tmp_path / "other").read_bytes() == b"theirs"
    assert not (tmp_path / "secret").is_symlink() and read_private(str(tmp_path / "secret")) == b"mine"
