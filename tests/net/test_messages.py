"""Messages survive the wire; what is no message of ours is refused in one sentence."""

import json
from typing import Any

import pytest

from cpods.errors import CpodsError
from cpods.model import Output, Problem, Read, Result, Step, Version
from cpods.net import messages
from cpods.net.messages import BadMessage, Cancel, Input, Lease, PodStatus, Renewal, StepDone, StepRequest
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
VERSION = Version("xxh3:" + "0" * 32, 7, (("latex/1:aux", "xxh3:" + "1" * 32),))
ORDER = Order(
    step=STEP,
    static_key="key",
    env=(("LANG", "C"),),
    date=1,
    log="table.log",
    knot="book",
    overlay={"book.aux": VERSION, "book.toc": None},
    hidden=frozenset({"x", "y"}),
    pass_number=2,
)
RESULT = Result(
    static_key="key", step="table é", reads=(Read("table.py", "absent"),), outputs=(Output("a b.tex", VERSION),), helpers=(STEP,)
)
EXECUTION = Execution(
    step="table é", chef="shell", tool="python3", argv=("python3",), kind="ran", pass_number=1, pod="a", seconds=0.5, exit_code=0
)
ALL: list[messages.Message] = [
    StepRequest(
        id="7",
        federation="F",
        sender="md",
        epoch=3,
        expiry_ns=2**62,
        order=ORDER,
        inputs=(Input("table.py", "xxh3:" + "2" * 32, 5),),
        holders={"xxh3:" + "2" * 32: ("b", "a")},
        epochs={"a b.tex": 4},
    ),
    Lease(id="7", pod="a", epoch=3, expiry_ns=1),
    Lease(id="7", pod="a", epoch=3, expiry_ns=0, refused="no pdflatex here"),
    Renewal(id="7", pod="a", epoch=3, expiry_ns=2),
    StepDone(id="7", pod="a", epoch=3, cooked=Cooked(EXECUTION, RESULT, artefacts={VERSION.digest: 7})),
    StepDone(id="7", pod="a", epoch=3, cooked=Cooked(None, None, stale=True, problems=(Problem("gone", "x.tex", 3),))),
    Cancel(id="7", federation="F", sender="md", epoch=3, expiry_ns=5),
    PodStatus(pod="a", federation="F", sent_ns=1, slots=4, free_slots=2, chefs=("latex",), tags=(("os", "linux"),)),
]


@pytest.mark.parametrize("message", ALL, ids=lambda message: type(message).__name__)
def test_there_and_back(message: messages.Message) -> None:
    data = messages.encode(message)
    assert messages.decode(data) == message
    assert messages.encode(messages.decode(data)) == data
    assert json.loads(data)["version"] == messages.VERSION


def test_equal_messages_give_equal_bytes() -> None:
    """What is signed must not depend on the order in which a set or a dict was filled."""
    request = ALL[0]
    assert isinstance(request, StepRequest)
    other = Order(
        step=STEP,
        static_key="key",
        env=(("LANG", "C"),),
        date=1,
        log="table.log",
        knot="book",
        overlay={"book.toc": None, "book.aux": VERSION},
        hidden=frozenset(["y", "x"]),
        pass_number=2,
    )
    again = StepRequest("7", "F", "md", 3, 2**62, other, request.inputs, request.holders, request.epochs)
    assert messages.encode(again) == messages.encode(request)


def changed(**fields: Any) -> bytes:
    """A lease on the wire with other fields."""
    content = json.loads(messages.encode(ALL[1]))
    content["message"].update(fields)
    return json.dumps(content).encode()


def test_another_version_says_what_to_do() -> None:
    content = json.loads(messages.encode(ALL[1]))
    content["version"] = 2
    content["message"] = {"kind": "unheard-of"}
    with pytest.raises(BadMessage, match=r"version 2 .* version 1; run one release on all pods"):
        messages.decode(json.dumps(content).encode())


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
        changed(expiry_ns="soon"),
        changed(pod=None),
        changed(pod="a")[:-9],
        b'{"version": 1, "message": {"kind": "lease", "id": "\xff", "pod": "a", "epoch": 1, "expiry_ns": 1}}',
    ],
)
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(BadMessage, match="no message of cpods") as caught:
        messages.decode(data)
    assert isinstance(caught.value, CpodsError) and caught.value.exit_code == 5


def test_fields_of_a_later_release_of_the_same_version_are_passed_over() -> None:
    assert messages.decode(changed(colour="red")) == ALL[1]


def test_a_name_that_is_not_utf8() -> None:
    with pytest.raises(BadMessage, match="not UTF-8"):
        messages.encode(Lease(id="caf\udce9", pod="a", epoch=0, expiry_ns=0))
