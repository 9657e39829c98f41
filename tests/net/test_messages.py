"""Messages survive the wire; what is no message of ours is refused in one sentence."""

import json
from types import ModuleType
from typing import Any

import pytest

from cpods.errors import CpodsError
from cpods.model import Artefact, Output, Problem, Read, Result, Solution, Step, Version
from cpods.net import membership, messages, questions, stewardship, wire
from cpods.net.identity import Federation
from cpods.net.messages import Input, Lease, Leases, Owned, Renewal, StepDone, StepRequest, Steps
from cpods.net.wire import BadMessage, Wire
from cpods.orders import Cooked, Execution, Order

STEP = Step(
    name="table é",
    chef="shell",
    tool="python3",
    argv=("python3", "table.py"),
    position=(1, 2),
    inputs=("table.py",),
    outputs=("a b.tex",),
    insignificant=("^# .*",),
)
DIGEST = "xxh3:" + "2" * 32
VERSION = Version("xxh3:" + "0" * 32, 7, (("latex/1:aux", "xxh3:" + "1" * 32),))
ARTEFACT = Artefact(DIGEST, 5)


def order(overlay: dict[str, Version | None], hidden: list[str]) -> Order:
    """An order with every field set."""
    return Order(
        step=STEP,
        static_key="key",
        env=(("LANG", "C"),),
        date=1,
        log="table.log",
        knot="book",
        overlay=overlay,
        hidden=frozenset(hidden),
        pass_number=2,
    )


def steps(overlay: dict[str, Version | None], hidden: list[str], holders: dict[str, tuple[int, ...]]) -> Steps:
    """A message with every field set."""
    request = StepRequest(
        id="7",
        order=order(overlay, hidden),
        tree=ARTEFACT,
        inputs=(Input("table.py", DIGEST, 5, True),),
        wanted=("table.py",),
        holders=holders,
        epochs={"a b.tex": 4},
        fingerprint="tools",
    )
    return Steps("p", "md", (request,), pods=("a", "b"), sftp=("::1", 2222))


STEPS = steps({"book.aux": VERSION, "book.toc": None}, ["x", "y"], {DIGEST: (1, 0), VERSION.digest: (0,)})
RESULT = Result(
    static_key="key", step="table é", reads=(Read("table.py", "absent"),), outputs=(Output("a b.tex", VERSION),), helpers=(STEP,)
)
SOLUTION = Solution(
    key="knot",
    seed="clean",
    verdict="FIXED",
    members=("table é",),
    reads=(("table é", (Read("table.py", DIGEST),)),),
    outputs=(("table é", Output("a b.tex", VERSION)),),
    last=(("table é", RESULT),),
    tail=1,
)
EXECUTION = Execution(
    step="table é", chef="shell", tool="python3", argv=("python3",), kind="ran", pass_number=1, pod="a", seconds=0.5, exit_code=0
)
STATUS = questions.PodStatus(
    pod="a",
    sent_ns=2**62,
    state="ready",
    slots=4,
    free_slots=2,
    sftp=("127.0.0.1", 2222),
    chefs=("latex",),
    tools=(("pdflatex", "pdfTeX 3.14"),),
    tags=(("os", "linux"),),
    load=0.25,
    disk_free_bytes=2**40,
    held_bytes=1,
    held_objects=1,
    version="1.0",
)
OWNED = Owned("a b.tex", 3, DIGEST, "absent")
RENEWAL = Renewal("a", ("7", "8"), 2.5)
ALL: list[Wire] = [
    STEPS,
    Steps("p", "md", (StepRequest("7", order({}, []), ARTEFACT),)),
    messages.Detour(ARTEFACT, "md", ("127.0.0.1", 2222)),
    Leases("a", (Lease("7", 2.5), Lease("8", refused="no pdflatex here"))),
    RENEWAL,
    messages.Done(
        "a",
        (
            StepDone("7", "p", Cooked(EXECUTION, RESULT, artefacts={VERSION.digest: 7}), {"a b.tex": 4}, {"md": 99}),
            StepDone("8", "p", Cooked(None, None, stale=True, problems=(Problem("gone", "x.tex", 3),))),
        ),
    ),
    messages.Acks((messages.Ack("7", {"a b.tex": 5}), messages.Ack("8"))),
    messages.Cancel("md", ("7",)),
    messages.LogChunk("7", "This is pdfTeX\n\ufffd"),
    messages.Edited("a", "p", (OWNED,)),
    STATUS,
    questions.AskStatus(),
    questions.AskFits((STEP,)),
    questions.Fits(("tools", "")),
    questions.AskHeld(),
    questions.AskHeld((), after=DIGEST),
    questions.Held({DIGEST: 5}, next=DIGEST),
    questions.Fetch((ARTEFACT,), {DIGEST: ("b", "a")}, {"b": ("127.0.0.1", 1)}, pin=True),
    questions.Fetched({"b": 5}, {DIGEST: "nobody has it"}),
    questions.AskOwned("p"),
    questions.OwnedPaths({"p": (OWNED,)}),
    questions.Own("p", (OWNED,)),
    questions.Disown("p", {"a b.tex": 3}),
    questions.Resume("p", "md"),
    questions.Resumed(("7",), ("8",), (OWNED,)),
    questions.Drain(),
    questions.Drain(off=True),
    questions.Stop(),
    questions.Forget((DIGEST,)),
    questions.Okay(),
    questions.Okay("it is somebody else's"),
    questions.AskResults(("key",), ("knot",)),
    questions.Results((RESULT,), (SOLUTION,)),
    questions.AskPods(),
    questions.Pods((STATUS,), (0.5,)),
    questions.Happened("ran", "p", "table é", "a", "pass 1"),
    membership.JoinRequest("b", "U1", "ssh-ed25519 A", "ssh-ed25519 B", b"\0\xff"),
    membership.JoinAnswer(b'{"roster": 1}', Federation("F", "tls://127.0.0.1:4222", "U0", "-----BEGIN")),
    membership.JoinAnswer(refused="the invitation was used"),
    membership.RosterNews(b"\0\xff"),
]


@pytest.mark.parametrize("message", ALL, ids=lambda message: type(message).__name__)
def test_there_and_back(message: Wire) -> None:
    data = wire.encode(message)
    back = wire.decode(data, type(message))
    assert back == message and type(back) is type(message)
    assert wire.encode(back) == data
    assert json.loads(data)["version"] == wire.VERSION


def kinds_of(*modules: ModuleType) -> set[type[Wire]]:
    """The messages that these modules define."""
    return {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Wire) and kind.__module__ == module.__name__
    }


def test_every_message_has_an_example_here() -> None:
    assert kinds_of(messages, questions, membership) == {type(message) for message in ALL}


def test_every_message_of_the_protocol_has_a_name_of_its_own() -> None:
    names = [kind.__struct_config__.tag for kind in kinds_of(messages, questions, membership, stewardship)]
    assert len(set(names)) == len(names)


def test_a_reader_takes_only_the_kinds_that_it_names() -> None:
    data = wire.encode(RENEWAL)
    assert wire.decode(data, messages.Done, Renewal) == RENEWAL
    with pytest.raises(BadMessage, match="no message of cpods"):
        wire.decode(data, messages.Done, messages.LogChunk)
    with pytest.raises(BadMessage, match="no message of cpods"):
        wire.decode(data, messages.Done)


def test_equal_messages_give_equal_bytes() -> None:
    """What is signed must not depend on the order in which a set or a dict was filled."""
    again = steps({"book.toc": None, "book.aux": VERSION}, ["y", "x"], {VERSION.digest: (0,), DIGEST: (1, 0)})
    assert wire.encode(again) == wire.encode(STEPS)


def changed(**fields: Any) -> bytes:
    """A renewal on the wire with other fields."""
    content = json.loads(wire.encode(RENEWAL))
    content["message"].update(fields)
    return json.dumps(content).encode()


def test_another_version_says_what_to_do() -> None:
    content = json.loads(wire.encode(RENEWAL))
    content["version"] = 2
    content["message"] = {"kind": "unheard-of"}
    with pytest.raises(BadMessage, match=r"version 2 .* version 1; run one release on all pods"):
        wire.decode(json.dumps(content).encode(), Renewal)


@pytest.mark.parametrize("kinds", [(Renewal,), (Renewal, Leases)], ids=["one kind", "two kinds"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"version": "1", "message": {}}',
        b'{"version": 1}',
        b'{"version": 1, "message": {}}',
        changed(kind="order"),
        changed(seconds="soon"),
        changed(ids=None),
        changed(pod="a")[:-9],
        b'{"version": 1, "message": {"kind": "renewal", "pod": "\xff", "ids": [], "seconds": 1}}',
    ],
)
def test_what_is_no_message(data: bytes, kinds: tuple[type[Wire], ...]) -> None:
    with pytest.raises(BadMessage, match="no message of cpods") as caught:
        wire.decode(data, *kinds)
    assert isinstance(caught.value, CpodsError) and caught.value.exit_code == 5


def test_fields_of_a_later_release_of_the_same_version_are_passed_over() -> None:
    assert wire.decode(changed(colour="red"), Renewal) == RENEWAL


def test_a_name_that_is_not_utf8() -> None:
    with pytest.raises(BadMessage, match="not UTF-8"):
        wire.encode(messages.LogChunk("caf\udce9", "text"))
