"""Who may say what: the broker's permissions of each role, and the same as rules for a receiver of signed messages.

Knows no connection, no signature and no file.
"""

from collections.abc import Iterable
from typing import Any

from cpods.net import subjects

#: Roles that may command pods.
COMMANDING = ("founder", "majordomo")

#: How long a request may wait for its answer; after that the broker lets nobody answer it any more.
ANSWER_WITHIN = "2h"


def bucket(federation: str, what: str) -> str:
    """The name of a KV bucket of this federation; ``what``: pods or owners."""
    return f"cpods-{federation}-{what}"


def stream(federation: str) -> str:
    """The name of the stream that keeps the events of this federation."""
    return f"cpods-{federation}-events"


def permissions(federation: str, name: str, role: str, askers: Iterable[str] = ()) -> dict[str, Any]:
    """What the broker lets a member send and hear, as the value of ``permissions`` in its configuration.

    A pod has no right to JetStream: by reply and deliver subjects it could make the broker send as if it were another.
    Answers to requests are allowed one each; to ``askers`` (names) also those that a reload of the configuration overtook.
    Raises ValueError for an unknown role.
    """
    says = {"pod": _pod_says, "majordomo": _majordomo_says, "founder": _founder_says}
    if role not in says:
        raise ValueError(f"{role!r} is no role: founder, majordomo or pod")
    answers = [f"{subjects.inbox(asker)}.>" for asker in askers]
    return _permissions([*says[role](federation, name), *answers], _hears(federation, name, role))


def guest_permissions(federation: str, nkey: str) -> dict[str, Any]:
    """The same for the holder of an invitation whose one-time key this is: it may ask to join, and hear the answer."""
    return _permissions([subjects.join(federation)], [f"{subjects.inbox(nkey)}.>"])


def _permissions(publish: list[str], subscribe: list[str]) -> dict[str, Any]:
    # Of answered requests the broker forgets at once whom it let answer, of the others after this time: memory stays small.
    answers = {"max": 1, "expires": ANSWER_WITHIN}
    return {"publish": {"allow": publish}, "subscribe": {"allow": subscribe}, "allow_responses": answers}


def _pod_says(federation: str, name: str) -> list[str]:
    return [
        f"cpods.{federation}.res.*.{name}.>",
        subjects.status(federation, name),
        subjects.event(federation, name),
        subjects.steward(federation),
    ]


def _majordomo_says(federation: str, name: str) -> list[str]:
    owners, pods, events = f"KV_{bucket(federation, 'owners')}", f"KV_{bucket(federation, 'pods')}", stream(federation)
    return [
        *(f"cpods.{federation}.pod.*.{what}" for what in ("step", "cancel", "ask")),
        subjects.steward(federation),
        subjects.event(federation, name),
        f"$KV.{bucket(federation, 'owners')}.>",
        *(f"$JS.API.STREAM.INFO.{one}" for one in (owners, pods, events)),
        *(f"$JS.API.DIRECT.GET.{one}.>" for one in (owners, pods)),
        f"$JS.API.CONSUMER.CREATE.{events}",
        f"$JS.API.CONSUMER.CREATE.{events}.>",
    ]


def _founder_says(federation: str, name: str) -> list[str]:
    return [f"cpods.{federation}.>", f"$KV.cpods-{federation}-pods.>", f"$KV.cpods-{federation}-owners.>", "$JS.API.>", "$JS.ACK.>"]


def _hears(federation: str, name: str, role: str) -> list[str]:
    own = f"{subjects.inbox(name)}.>"
    if role == "founder":
        return [f"cpods.{federation}.>", own]
    common = [own, f"cpods.{federation}.pod.{name}.>", subjects.statuses(federation), subjects.roster(federation)]
    if role == "majordomo":
        return [*common, subjects.results(federation, name), f"cpods.{federation}.event.*"]
    return common


def fault(subject: str, federation: str, sender: str, role: str) -> str:
    """Why a message that ``sender`` signed for ``subject`` is not to be obeyed; '' if it may say this there.

    On the federation's own broker the permissions say the same; on another's they may not be there.
    """
    match subject.split("."):
        case ["cpods", other, *_] if other != federation:
            return f"it is for the federation {other}"
        case ["cpods", _, "pod", _, _, *_] if role not in COMMANDING:
            return f"a {role} commands no pod"
        case ["cpods", _, "res", _, name, *_] | ["cpods", _, "status" | "event", name, *_] if name != sender:
            return f"it is not {name}"
        case ["cpods", _, "roster", *_] if role != "founder":
            return f"a {role} publishes no roster"
    return ""


def answerer(subject: str) -> tuple[str, str]:
    """Who alone may answer a request to ``subject``: (its name or '', its role or '')."""
    match subject.split("."):
        case ["cpods", _, "pod", name, *_]:
            return name, ""
        case ["cpods", _, "res", name, *_]:
            return name, ""
        case ["cpods", _, "steward", *_]:
            return "", "founder"
    return "", ""
