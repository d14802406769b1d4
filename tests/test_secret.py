"""gateway/secret.py: a credential never prints itself."""

import json
import pickle

import pytest

from gateway.secret import Secret


def test_no_ordinary_way_of_printing_shows_the_text() -> None:
    secret = Secret("canary-7f3a")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>20}", repr([secret]), repr({"key": secret})]
    assert not any("canary" in text for text in shown)
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert secret.reveal() == "canary-7f3a"


def test_secrets_compare_by_their_text() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert not Secret("")
