"""Who may say what: the broker's permissions per role, and the same rules for a receiver."""

import itertools

import pytest

from cpods.net import rights, subjects
from cpods.net.rights import answerer, fault

FORMS = [
    subjects.step("f", "a"),
    subjects.cancel("f", "a"),
    subjects.ask("f", "a"),
    subjects.result("f", "md", "a", "done"),
    subjects.status("f", "a"),
    subjects.event("f", "a"),
    subjects.steward("f"),
    subjects.join("f"),
    subjects.roster("f"),
    "$KV.cpods-f-pods.a",
    "$KV.cpods-f-owners.0123",
    "$JS.API.STREAM.DELETE.KV_cpods-f-pods",
    "$JS.API.CONSUMER.CREATE.KV_cpods-f-pods",
    "$JS.API.DIRECT.GET.KV_cpods-f-pods.$KV.cpods-f-pods.a",
]


def may_say(name: str, role: str) -> set[str]:
    """Of FORMS, those that the broker lets a member publish."""
    return {one for one in FORMS for allowed in rights.permissions("f", name, role)["publish"]["allow"] if subjects.matches(allowed, one)}


def may_hear(name: str, role: str, subject: str) -> bool:
    return any(subjects.matches(allowed, subject) for allowed in rights.permissions("f", name, role)["subscribe"]["allow"])


def test_a_pod_speaks_as_itself_and_has_no_jetstream() -> None:
    own = {subjects.result("f", "md", "a", "done"), subjects.status("f", "a"), subjects.event("f", "a"), subjects.steward("f")}
    assert may_say("a", "pod") == own
    assert may_say("b", "pod") == {subjects.steward("f")}


def test_a_majordomo_commands_pods_and_mirrors_owners() -> None:
    said = may_say("md", "majordomo")
    assert {subjects.step("f", "a"), subjects.cancel("f", "a"), subjects.ask("f", "a"), "$KV.cpods-f-owners.0123"} <= said
    assert not said & {subjects.status("f", "a"), subjects.roster("f"), "$KV.cpods-f-pods.a", subjects.join("f"), FORMS[11]}


def test_the_founder_may_say_all() -> None:
    assert may_say("me", "founder") == set(FORMS)


@pytest.mark.parametrize(("name", "role"), [("b", "pod"), ("md2", "majordomo")])
def test_nobody_hears_what_is_for_another(name: str, role: str) -> None:
    private = [subjects.step("f", "a"), f"{subjects.inbox('a')}.x", "_INBOX.x", subjects.result("f", "md", "a", "done"), subjects.join("f")]
    assert not any(may_hear(name, role, subject) for subject in [*private, ">", "cpods.g.roster"])
    assert may_hear(name, role, f"{subjects.inbox(name)}.x") and may_hear(name, role, subjects.roster("f"))


def test_a_guest_may_only_ask_to_join() -> None:
    key = "U" * 56
    granted = rights.guest_permissions("f", key)
    assert granted["publish"]["allow"] == [subjects.join("f")]
    assert granted["subscribe"]["allow"] == [f"_INBOX_{key}.>"]


def test_an_unknown_role() -> None:
    with pytest.raises(ValueError, match="no role"):
        rights.permissions("f", "a", "guest")


def test_receivers_refuse_what_the_broker_would_refuse() -> None:
    """Whoever may not publish a subject of the federation is also refused by rule, except where it is for the steward alone."""
    for (name, role), subject in itertools.product([("a", "pod"), ("b", "pod"), ("md", "majordomo"), ("me", "founder")], FORMS[:7]):
        if role != "founder":
            assert (fault(subject, "f", name, role) == "") == (subject in may_say(name, role)), (name, subject)


@pytest.mark.parametrize(
    ("subject", "sender", "role", "wrong"),
    [
        (subjects.step("f", "b"), "a", "pod", "a pod commands no pod"),
        (subjects.step("f", "b"), "md", "majordomo", ""),
        (subjects.result("f", "md", "b", "done"), "a", "pod", "it is not b"),
        (subjects.status("f", "b"), "a", "pod", "it is not b"),
        (subjects.event("f", "b"), "me", "founder", "it is not b"),
        (subjects.roster("f"), "md", "majordomo", "a majordomo publishes no roster"),
        (subjects.roster("f"), "me", "founder", ""),
        (subjects.step("g", "b"), "md", "majordomo", "it is for the federation g"),
        ("anything", "a", "pod", ""),
    ],
)
def test_fault(subject: str, sender: str, role: str, wrong: str) -> None:
    assert fault(subject, "f", sender, role) == wrong


def test_answerer() -> None:
    assert answerer(subjects.step("f", "a")) == ("a", "")
    assert answerer(subjects.result("f", "md", "a", "done")) == ("md", "")
    assert answerer(subjects.steward("f")) == ("", "founder")
    assert answerer("anything") == ("", "")
