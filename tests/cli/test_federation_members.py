"""Founding, inviting, joining, leaving and revoking, as their users do it: real processes, a real broker."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.town import Town


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A federation that all tests here use; each with members of its own."""
    town = Town(tmp_path_factory.mktemp("town"))
    try:
        founded = town.found()
        assert founded.code == 0, founded
        assert "is founded" in founded.out and "cpods federation invite NAME" in founded.out
        yield town
    finally:
        town.close()


def test_what_was_founded_is_there_and_belongs_to_its_user_alone(town: Town) -> None:
    again = town.call("founder", "federation", "init", "town")
    assert again.code == 0 and "is there already" in again.out and "its steward runs" in again.out
    files = [path for path in town.home("founder").rglob("*") if path.is_file() and not {"jetstream", "results"} & set(path.parts)]
    assert {"identity.json", "federation.json", "roster.json", "ca.pem"} <= {path.name for path in files}
    assert [path for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077 and path.suffix not in (".log", ".pid")] == []


def test_the_way_from_invitation_to_membership(town: Town) -> None:
    invited = town.call("founder", "federation", "invite", "alpha")
    token = invited.out.strip()
    assert invited.code == 0 and token.startswith("cpods1.") and "\n" not in token
    assert f"cpods federation join {token}" in invited.err and "once, within 60 min" in invited.err
    assert "invited: alpha as pod" in town.call("founder", "federation", "status").out
    joined = town.call("alpha", "federation", "join", token)
    assert joined.code == 0 and "alpha is now a pod of federation town" in joined.out and "cpods pod start" in joined.out
    seen = town.call("alpha", "federation", "status")
    assert seen.code == 0 and "you are alpha (pod)" in seen.out and "invited: alpha" not in seen.out
    twice = town.call("other", "federation", "join", token)
    assert twice.code == 5 and twice.err.count("\n") == 1
    assert "used already" in twice.err or "was used, has expired, or was withdrawn" in twice.err
    assert not town.home("other").exists()
    taken = town.call("founder", "federation", "invite", "alpha")
    assert taken.code == 2 and "alpha is a member already" in taken.err


def test_a_token_in_a_file_or_from_a_pipe(town: Town) -> None:
    invited = town.quick("founder", "federation", "invite", "bob", "--majordomo", "--file", "bob.token")
    assert invited.code == 0 and invited.out == "" and "--file bob.token" in invited.err
    file = town.folder / "bob.token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    joined = town.quick("bob", "federation", "join", "--file", "-", said=file.read_text())
    assert joined.code == 0 and "bob is now a majordomo" in joined.out and "cpods rebuild --federation town" in joined.out
    again = town.quick("bob", "federation", "join", "--file", "bob.token")
    assert again.code == 2 and "you are in a federation town already" in again.err


def test_an_expired_token_lets_nobody_in(town: Town) -> None:
    late = town.quick("late", "federation", "join", town.invite("late", "--expires", "0.01s"))
    assert late.code == 5 and "expired" in late.err and late.err.count("\n") == 1
    assert not town.home("late").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["join"], "give a token, or --file"),
        (["join", "cpods1.abc"], "cut off or mistyped"),
        (["join", "hello"], "this is not a join token"),
        (["join", "--file", "nowhere"], "there is no token there"),
        (["invite", "a b"], "'a b' cannot be a name here"),
        (["invite", "x", "--expires", "soon"], "'soon' is no duration"),
        (["invite", "founder"], "founder is a member already"),
        (["revoke", "nobody"], "nobody is not a member of town"),
        (["revoke", "founder"], "founder founded town and cannot be revoked"),
        (["leave"], "you founded town"),
        (["status", "elsewhere"], "you are not in federation elsewhere"),
        (["init", "a/b"], "'a/b' cannot be a name here"),
        (["init", "x", "--creds", "f"], "--creds and --ca belong to --broker URL"),
    ],
)
def test_a_wrong_call_is_told_in_one_sentence(town: Town, arguments: list[str], reason: str) -> None:
    done = town.quick("founder", "federation", *arguments)
    assert done.code == 2 and reason in done.err and done.err.count("\n") == 1 and done.out == ""


def test_who_is_in_no_federation_is_told_so(town: Town) -> None:
    for command in (["federation", "status"], ["pod", "list"], ["federation", "stop"]):
        done = town.quick("stranger", *command)
        assert done.code == 2 and "you are in no federation" in done.err


def test_only_the_founder_invites_revokes_and_stops(town: Town) -> None:
    assert town.join("carol", "--majordomo").code == 0
    for command in (["invite", "x"], ["revoke", "founder"], ["start"], ["stop"]):
        done = town.quick("carol", "federation", *command)
        assert done.code == 2 and "found" in done.err, done


def test_a_withdrawn_invitation_is_void(town: Town) -> None:
    token = town.invite("dora")
    done = town.quick("founder", "federation", "revoke", "dora")
    assert done.code == 0 and "the invitation of dora is void" in done.out
    refused = town.quick("dora", "federation", "join", token)
    assert refused.code == 5 and "withdrawn" in refused.err


def test_a_newer_invitation_makes_the_older_one_void(town: Town) -> None:
    older, newer = town.invite("eve"), town.invite("eve")
    assert town.quick("eve", "federation", "join", older).code == 5
    assert town.quick("eve", "federation", "join", newer).code == 0


def test_a_revoked_member_is_cut_off_and_its_name_is_free_again(town: Town) -> None:
    assert town.join("finn").code == 0
    pod = town.pod("finn")
    done = town.quick("founder", "federation", "revoke", "finn")
    assert done.code == 0 and "finn is revoked" in done.out
    ended = pod.wait()
    assert ended.code != 0 and "revoked" in ended.err
    refused = town.quick("finn", "federation", "status")
    assert refused.code == 5 and refused.err.count("\n") == 1
    members = {one["name"]: one["revoked"] for one in json.loads(town.quick("founder", "federation", "status", "--json").out)["members"]}
    assert members["finn"] is True and members["founder"] is False
    assert town.quick("finn2", "federation", "join", town.invite("finn")).code == 0


def test_who_leaves_is_no_member_any_more_and_keeps_no_keys(town: Town) -> None:
    assert town.join("gina", "--majordomo").code == 0
    left = town.quick("gina", "federation", "leave")
    assert left.code == 0 and "gina has left town" in left.out and left.err == "", left
    assert not town.home("gina").exists()
    assert "gina     majordomo  revoked" in town.quick("founder", "federation", "status").out
    assert town.quick("gina", "federation", "status").code == 2


def test_a_broker_of_another_federation_is_not_believed(town: Town, tmp_path: Path) -> None:
    assert town.join("hal").code == 0
    other = Town(tmp_path, "city")
    try:
        assert other.found().code == 0
        mine = town.home("hal") / "federation.json"
        theirs = json.loads((other.home("founder") / "federation.json").read_text())
        mine.write_text(json.dumps({**json.loads(mine.read_text()), "broker": theirs["broker"]}))
        lost = town.quick("hal", "federation", "status")
        assert lost.code == 5 and "certificate" in lost.err and lost.err.count("\n") == 1
    finally:
        other.close()


def test_events_tell_what_happened(town: Town) -> None:
    assert town.join("ida").code == 0
    lines = town.quick("founder", "federation", "events")
    assert lines.code == 0 and "founder: joined ida" in lines.out
    entries = [json.loads(line) for line in town.quick("founder", "federation", "events", "--json").out.splitlines()]
    assert {"sender": "founder", "what": "joined", "pod": "ida"} in entries
    follower = town.start("founder", "federation", "events", "--follow")
    assert follower.line == lines.out.splitlines()[0]
    follower.end()
