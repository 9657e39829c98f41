"""A join token is one line to copy; what is broken is said, what is secret is not."""

import base64
import hashlib
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpods.errors import UsageError
from cpods.net import certificates, tokens
from cpods.net.identity import Federation, new_identity
from cpods.net.nkeypair import Keypair
from cpods.net.tokens import JoinToken, new_token

FOUNDER = new_identity("boss", "lab", "founder")
FEDERATION = Federation("lab", "tls://broker.example.org:4222", FOUNDER.nkey, certificates.new_authority("lab")[1])
TOKEN = new_token(FEDERATION, "a", "pod", 1_800_000_000)
TEXT = tokens.encode(TOKEN)


def test_there_and_back() -> None:
    assert tokens.decode(TEXT) == TOKEN
    assert TOKEN.to_federation() == FEDERATION
    assert (TOKEN.name, TOKEN.role, TOKEN.expires_s) == ("a", "pod", 1_800_000_000)


@pytest.mark.parametrize("external", [False, True])
def test_of_an_external_broker(external: bool) -> None:
    federation = msgspec.structs.replace(FEDERATION, external=external, ca_pem="")
    assert tokens.decode(tokens.encode(new_token(federation, "b", "majordomo", 0))).to_federation() == federation


def test_one_line_that_a_terminal_takes() -> None:
    assert len(TEXT) < 1200
    assert TEXT.isascii() and TEXT.isprintable() and " " not in TEXT


@given(st.lists(st.tuples(st.integers(0, len(TEXT)), st.sampled_from([" ", "\n", "\r\n", "\t"])), max_size=6))
def test_blanks_and_line_breaks_of_a_mail_program_do_no_harm(breaks: list[tuple[int, str]]) -> None:
    text = TEXT
    for position, blank in sorted(breaks, reverse=True):
        text = text[:position] + blank + text[position:]
    assert tokens.decode(text) == TOKEN


@given(st.data())
def test_any_mistyped_character_is_said(data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(TEXT) - 1))
    other = data.draw(st.sampled_from([letter for letter in "abcXYZ019-_.é+/=" if letter != TEXT[position]]))
    with pytest.raises(UsageError) as caught:
        tokens.decode(TEXT[:position] + other + TEXT[position + 1 :])
    assert str(caught.value) in (
        "this join token is cut off or mistyped; copy the whole line",
        "this is not a join token: one starts with cpods1.",
    )


def test_the_other_alphabet_of_base64_is_mistyped_too() -> None:
    """There is one text for one token, so that two lines can be compared by eye."""
    content = zlib.compress(msgspec.msgpack.encode(TOKEN), 9)
    text = base64.b64encode(hashlib.sha256(content).digest()[:4] + content).decode()
    assert {"+", "/"} & set(text)
    with pytest.raises(UsageError, match="mistyped"):
        tokens.decode("cpods1." + text.rstrip("="))


@given(st.integers(0, len(TEXT) - 1))
def test_cut_off_anywhere(length: int) -> None:
    with pytest.raises(UsageError, match="cut off|not a join token"):
        tokens.decode(TEXT[:length])


@given(st.text(max_size=80))
def test_any_other_text(text: str) -> None:
    for tried in (text, "cpods1." + text):
        with pytest.raises(UsageError, match="join token"):
            tokens.decode(tried)


def packed(content: bytes) -> str:
    """A token whose check is right, whatever is in it."""
    return "cpods1." + base64.urlsafe_b64encode(hashlib.sha256(content).digest()[:4] + content).decode().rstrip("=")


@pytest.mark.parametrize(
    "content",
    [
        b"no zlib",
        zlib.compress(b"no msgpack"),
        zlib.compress(msgspec.msgpack.encode({"federation": "lab"})),
        zlib.compress(msgspec.msgpack.encode({**msgspec.structs.asdict(TOKEN), "role": "founder"})),
        zlib.compress(msgspec.msgpack.encode({**msgspec.structs.asdict(TOKEN), "name": "../../a"})),
        zlib.compress(msgspec.msgpack.encode({**msgspec.structs.asdict(TOKEN), "federation": "a.>"})),
        zlib.compress(msgspec.msgpack.encode({**msgspec.structs.asdict(TOKEN), "founder": "U"})),
        zlib.compress(msgspec.msgpack.encode({**msgspec.structs.asdict(TOKEN), "seed": "SU"})),
    ],
)
def test_what_is_in_it_is_checked(content: bytes) -> None:
    with pytest.raises(UsageError, match="of another release of cpods; ask the founder for a new one"):
        tokens.decode(packed(content))


def test_a_token_that_would_fill_the_memory() -> None:
    bomb = zlib.compress(b"\0" * (10 << 20), 9)
    with pytest.raises(UsageError, match="longer than any can be"):
        tokens.decode(packed(bomb))
    with pytest.raises(UsageError, match="cut off"):
        tokens.decode("cpods1." + "A" * 1_000_000)


@pytest.mark.parametrize(("name", "role"), [("a.b", "pod"), ("", "pod"), ("a", "founder"), ("a", "king")])
def test_who_cannot_be_invited(name: str, role: str) -> None:
    with pytest.raises(UsageError, match="cannot be invited"):
        new_token(FEDERATION, name, role, 0)


def test_each_has_a_key_of_its_own_that_stays_secret() -> None:
    other = new_token(FEDERATION, "a", "pod", TOKEN.expires_s)
    assert other.seed != TOKEN.seed and other.invited != TOKEN.invited
    assert TOKEN.invited == Keypair(TOKEN.seed).public
    assert TOKEN.seed not in repr(TOKEN) and TOKEN.invited in repr(TOKEN)


def test_a_later_release_may_add_fields() -> None:
    more = zlib.compress(msgspec.msgpack.encode({**msgspec.structs.asdict(TOKEN), "colour": "red"}))
    assert tokens.decode(packed(more)) == TOKEN
    assert isinstance(tokens.decode(packed(more)), JoinToken)
