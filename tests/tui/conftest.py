"""Nothing that whoever runs the tests has chosen for their own dashboard is read or changed."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
