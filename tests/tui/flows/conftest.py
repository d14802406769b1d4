"""A scripted gateway of its own for every flow."""

from __future__ import annotations

import pytest

from tests.tui.fake_gateway import FakeGateway


@pytest.fixture
def gateway():
    with FakeGateway() as fake:
        yield fake
