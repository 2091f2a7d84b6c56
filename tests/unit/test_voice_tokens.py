"""Tokens of streams and Twilio's signatures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from voice.tokens import Ticket, TokenRefused, mint, new_nonce, read, signed_by_twilio, twilio_signature

KEY = b"k" * 32
TICKET = Ticket("CA1", "voice-1", "nonce", 1060)
FIELD = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=60)


@given(FIELD, FIELD, FIELD)
def test_it_reads_what_it_minted(subject: str, worker: str, nonce: str) -> None:
    ticket = Ticket(subject, worker, nonce, 1060)
    assert read(KEY, "call", mint(KEY, "call", ticket), now=1000) == ticket


def test_it_fits_into_a_path() -> None:
    token = mint(KEY, "call", TICKET)
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert len(token) < 200


def test_it_takes_no_field_that_could_pass_for_two() -> None:
    with pytest.raises(ValueError, match="line break"):
        mint(KEY, "call", Ticket("CA1\nvoice-2", "voice-1", "nonce", 1060))


@pytest.mark.parametrize(("now", "valid"), [(1059.9, True), (1060, False), (1061, False)])
def test_it_expires(now: float, valid: bool) -> None:
    token = mint(KEY, "call", TICKET)
    if valid:
        assert read(KEY, "call", token, now=now) == TICKET
    else:
        with pytest.raises(TokenRefused, match="expired"):
            read(KEY, "call", token, now=now)


def test_it_refuses_every_change_of_a_single_character() -> None:
    token = mint(KEY, "call", TICKET)
    for place, present in enumerate(token):
        for other in "A_-.9":
            if other != present:
                changed = token[:place] + other + token[place + 1 :]
                with pytest.raises(TokenRefused):
                    read(KEY, "call", changed, now=1000)


@pytest.mark.parametrize("token", ["", ".", "a.b", "é.x", "a" * 5000, f"{'a' * 40}.{'b' * 43}", "\0"])
def test_it_refuses_what_is_no_token(token: str) -> None:
    with pytest.raises(TokenRefused):
        read(KEY, "call", token, now=1000)


def test_it_refuses_another_key_and_another_purpose() -> None:
    token = mint(KEY, "call", TICKET)
    for key, purpose in ((b"x" * 32, "call"), (KEY, "browser")):
        with pytest.raises(TokenRefused, match="forged"):
            read(key, purpose, token, now=1000)  # type: ignore[arg-type]


def test_it_never_says_a_nonce_twice() -> None:
    assert len({new_nonce() for _ in range(1000)}) == 1000


@given(
    st.dictionaries(st.text(min_size=1, max_size=8), st.lists(st.text(max_size=8), min_size=1, max_size=3))
)
def test_it_signs_forms_as_twilios_own_library_does(form: dict[str, list[str]]) -> None:
    class Many(dict[str, list[str]]):
        def getlist(self, name: str) -> list[str]:
            return self[name]

    url = "https://mesh.example.com/twilio/voice"
    expected = RequestValidator("token").compute_signature(url, Many(form))
    assert twilio_signature("token", url, form) == expected
    assert signed_by_twilio("token", expected, url, form)


def test_it_takes_the_address_with_and_without_its_port() -> None:
    """Twilio's library would add `:80` to a wss address, so its check never matches there."""
    bare = "wss://mesh.example.com/ws/voice/twilio/voice-1/x"
    ported = bare.replace(".com/", ".com:8443/")
    assert signed_by_twilio("token", twilio_signature("token", bare), bare)
    assert signed_by_twilio("token", twilio_signature("token", bare), ported)
    assert signed_by_twilio("token", twilio_signature("token", ported), ported)
    assert not signed_by_twilio("token", twilio_signature("token", ported), bare)
    assert signed_by_twilio("token", twilio_signature("token", "wss://[::1]/x"), "wss://[::1]:8090/x")
    wrong = bare.replace(".com/", ".com:80/")
    assert not signed_by_twilio("token", twilio_signature("token", wrong), bare)


@pytest.mark.parametrize("signature", ["", "é", "x", "=" * 28])
def test_it_refuses_other_signatures(signature: str) -> None:
    assert not signed_by_twilio("token", signature, "https://mesh.example.com/twilio")


def test_it_accepts_nothing_without_an_auth_token() -> None:
    url = "https://mesh.example.com/twilio"
    assert not signed_by_twilio("", twilio_signature("", url), url)
