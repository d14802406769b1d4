"""gateway/keyring.py: the shape of a key."""

import re

from gateway import keyring


def test_a_minted_key_is_well_formed_and_matches_the_published_regex() -> None:
    for _ in range(200):
        key = keyring.mint()
        assert keyring.is_well_formed(key.text.encode())
        assert re.fullmatch(keyring.KEY_REGEX, key.text)
        assert key.text.split("-")[2] == key.public_id
        assert key.digest == keyring.digest(key.text.encode())


def test_any_single_changed_character_is_noticed() -> None:
    text = keyring.mint().text
    for position in range(len(keyring.PREFIX), len(text)):
        for letter in "0z":
            changed = text[:position] + letter + text[position + 1 :]
            if changed != text:
                assert not keyring.is_well_formed(changed.encode()), position


def test_odd_bytes_are_refused_and_never_raise() -> None:
    good = keyring.mint().text.encode()
    odd = (b"", b"sk-", b"sk-optyx-", good[:-1], good + b"0", good.upper(), b"\xff" * len(good), good[:-1] + b"\xff")
    for key in odd:
        assert not keyring.is_well_formed(key)


def test_an_admin_token_is_not_a_well_formed_api_key() -> None:
    token = keyring.mint_admin_token()
    assert token.text.startswith("sk-optyx-admin-")
    assert not keyring.is_well_formed(token.text.encode())
