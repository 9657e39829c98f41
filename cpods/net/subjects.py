"""Subjects: the addresses of messages on the bus, built from checked tokens, and the wildcards of NATS.

Knows no connection and no message.
"""

import re

#: Longest a subject may be; the broker refuses nothing shorter, and a log line still shows it.
SUBJECT_CHARACTERS_MAX = 255
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_ONE = "*"
_REST = ">"


def token(text: str) -> str:
    """``text``, if it can be one part of a subject: 1 to 64 of letters, digits, ``-`` and ``_``. Raises ValueError."""
    if not _TOKEN.match(text):
        raise ValueError(f"{text!r} cannot be part of a subject: 1 to 64 letters (a-z), digits, '-' or '_' are allowed")
    return text


def _join(*tokens: str) -> str:
    return ".".join(("cpods", *map(token, tokens)))


def step(federation: str, pod: str) -> str:
    """Where a pod takes orders (messages.Steps or Detour); it answers with leases."""
    return _join(federation, "pod", pod, "step")


def cancel(federation: str, pod: str) -> str:
    """Where a pod is told to give up steps."""
    return _join(federation, "pod", pod, "cancel")


def ask(federation: str, pod: str) -> str:
    """Where a pod answers questions (module questions)."""
    return _join(federation, "pod", pod, "ask")


def result(federation: str, majordomo: str, pod: str, kind: str) -> str:
    """Where a pod tells a MajorDomo of its steps; ``kind``: done, renewal, log or edited."""
    return _join(federation, "res", majordomo, pod, kind)


def results(federation: str, majordomo: str) -> str:
    """The pattern of all that pods tell one MajorDomo."""
    return f"{_join(federation, 'res', majordomo)}.{_REST}"


def status(federation: str, pod: str) -> str:
    """Where a pod says how it is."""
    return _join(federation, "status", pod)


def statuses(federation: str) -> str:
    """The pattern of all statuses."""
    return f"{_join(federation, 'status')}.{_ONE}"


def event(federation: str, sender: str) -> str:
    """Where a member tells whoever looks on what happened."""
    return _join(federation, "event", sender)


def events(federation: str) -> str:
    """The pattern of all events."""
    return f"{_join(federation, 'event')}.{_ONE}"


def steward(federation: str) -> str:
    """Where the federation's steward answers questions."""
    return _join(federation, "steward", "ask")


def join(federation: str) -> str:
    """Where the steward takes those who join."""
    return _join(federation, "steward", "join")


def roster(federation: str) -> str:
    """Where the steward publishes the roster, whenever it changes."""
    return _join(federation, "roster")


def inbox(member: str) -> str:
    """The prefix of a member's reply subjects: private to it, so that nobody listens to another's answers."""
    return f"_INBOX_{token(member)}"


def is_subject(text: str) -> bool:
    """Whether a message can be sent there: parts without blanks or wildcards, joined by dots."""
    return is_pattern(text) and not any(part in (_ONE, _REST) for part in text.split("."))


def is_pattern(text: str) -> bool:
    """Whether one can subscribe to it: a subject whose parts may be ``*`` (any one), the last also ``>`` (one or more)."""
    parts = text.split(".")
    return len(text) <= SUBJECT_CHARACTERS_MAX and _REST not in parts[:-1] and all(_is_part(part) for part in parts)


def _is_part(part: str) -> bool:
    return part in (_ONE, _REST) or (part != "" and part.isprintable() and not any(character in " *>" for character in part))


def matches(pattern: str, subject: str) -> bool:
    """Whether a subscription to ``pattern`` gets what is sent to ``subject``, as in NATS."""
    wanted = pattern.split(".")
    parts = subject.split(".")
    if wanted[-1] == _REST:
        wanted.pop()
        if len(parts) <= len(wanted):
            return False
        parts = parts[: len(wanted)]
    return len(wanted) == len(parts) and all(want in (_ONE, part) for want, part in zip(wanted, parts, strict=True))
