"""Keys as strings."""

import pytest

from networks import keys


def test_it_mints_keys_that_differ_and_are_acceptable() -> None:
    minted = {keys.mint() for _ in range(100)}
    assert len(minted) == 100
    assert all(key.startswith("mesh_") and keys.is_acceptable(key) for key in minted)


def test_it_notices_a_mistyped_key() -> None:
    key = keys.mint()
    for place in range(len(keys.PREFIX), len(key)):
        wrong = key[:place] + ("A" if key[place] != "A" else "B") + key[place + 1 :]
        assert not keys.is_acceptable(wrong)


@pytest.mark.parametrize(
    ("secret", "acceptable"),
    [
        ("x" * 24, True),
        ("mesh_a-key-somebody-chose-himself", True),
        ("x" * 23, False),
        ("x" * 201, False),
        ("with a blank in it, and long", False),
        ("ü" * 30, False),
    ],
)
def test_it_accepts_long_visible_strings_of_others(secret: str, acceptable: bool) -> None:
    assert keys.is_acceptable(secret) is acceptable


def test_it_shows_little_of_a_key() -> None:
    assert keys.shown_part("a-secret-of-somebody-elses") == "a-se"
    minted = keys.mint()
    assert keys.shown_part(minted) == minted[:12]
