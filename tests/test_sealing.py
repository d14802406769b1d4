"""Secrets at rest: bound to their place, changed by nobody, and under another key without a call failing."""

import asyncio
import base64

import pytest

from gateway.config import load
from gateway.sealing import Sealer, SealError
from gateway.secret import Secret
from tests.test_capture import detail, dump, forms, stored

OLD, NEW, OTHER = (base64.b64encode(letter * 32).decode() for letter in (b"o", b"n", b"x"))
CREDENTIAL = "sk-canary-3b7f-stored-credential"


def sealer(*keys: str) -> Sealer:
    return Sealer(Secret(",".join(keys)))


def test_what_is_sealed_opens_in_its_place_alone():
    sealed = sealer(OLD).seal(b"text", "provider p 1")
    assert sealer(OLD).open(sealed, "provider p 1") == b"text"
    for wrong in ("provider p 2", "provider q 1", ""):
        with pytest.raises(SealError):
            sealer(OLD).open(sealed, wrong)
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealError):
            sealer(OLD).open(bytes(changed), "provider p 1")
    assert sealer(OLD).seal(b"text", "p") != sealer(OLD).seal(b"text", "p"), "a nonce is never used twice"


def test_the_first_key_seals_and_all_of_them_open():
    old = sealer(OLD).seal(b"text", "p")
    both = sealer(NEW, OLD)
    assert both.open(old, "p") == b"text"
    fresh = both.resealed(old, "p")
    assert fresh is not None
    assert sealer(NEW).open(fresh, "p") == b"text"
    assert both.resealed(fresh, "p") is None
    with pytest.raises(SealError):
        sealer(OLD).open(fresh, "p")
    with pytest.raises(SealError):
        both.resealed(sealer(OTHER).seal(b"text", "p"), "p")


def test_the_variable_takes_several_keys_and_says_what_a_key_is(tmp_path):
    given = {"DATABASE_URL": "postgresql://x/y", "OPTYX_HOME": str(tmp_path)}
    key = load({**given, "OPTYX_SECRET_KEY": f"{NEW}, {OLD}"}).secret_key
    assert key is not None
    assert key.reveal() == f"{NEW},{OLD}"
    with pytest.raises(Exception, match="32 bytes"):
        load({**given, "OPTYX_SECRET_KEY": f"{NEW},short"})


async def test_a_key_is_rotated_under_load_without_a_failure(make_gateway):
    first = await make_gateway(OPTYX_SECRET_KEY=OLD)
    provider_id = await first.db.fetchval("SELECT id FROM providers WHERE name = 'openai'")
    await first.execute(
        "UPDATE providers SET credential_source = 'sealed', credential_sealed = $2, credential_version = 3 WHERE id = $1",
        provider_id, sealer(OLD).seal(CREDENTIAL.encode(), f"provider {provider_id} 3"),
    )  # fmt: skip
    await first.execute("UPDATE project_settings SET capture = true")
    captured = await first.chat("kept under the old key")
    await stored(first, 2)
    second = await make_gateway(OPTYX_SECRET_KEY=f"{NEW},{OLD}")
    statuses: list[int] = []
    over = asyncio.Event()

    async def call() -> None:
        while not over.is_set():
            statuses.append((await second.chat()).status)
            await asyncio.sleep(0.05)

    calling = asyncio.create_task(call())
    while len(statuses) < 5:
        await asyncio.sleep(0.01)
    assert (await second.admin("POST", "/secrets/rotate", role="operator")).status == 403
    told = (await second.admin("POST", "/secrets/rotate")).json
    assert (told["credentials"], told["unreadable"]) == (1, 0)
    assert told["bodies"] >= 2
    count = len(statuses) + 5
    while len(statuses) < count:
        await asyncio.sleep(0.01)
    over.set()
    await calling
    assert set(statuses) == {200}
    assert {seen.headers["authorization"] for seen in second.upstream.seen} == {f"Bearer {CREDENTIAL}"}
    sealed = await second.db.fetchval("SELECT credential_sealed FROM providers WHERE id = $1", provider_id)
    assert sealer(NEW).open(sealed, f"provider {provider_id} 3") == CREDENTIAL.encode()
    with pytest.raises(SealError):
        sealer(OLD).open(sealed, f"provider {provider_id} 3")
    third = await make_gateway(OPTYX_SECRET_KEY=NEW)
    assert "kept under the old key" in (await detail(third, captured.request_id))["request_body"]["text"]
    left = await dump(second)
    assert [form for form in forms(CREDENTIAL) if form in left] == []


async def test_what_no_key_opens_is_counted_and_left(make_gateway):
    gateway = await make_gateway(OPTYX_SECRET_KEY=NEW)
    lost = sealer(OTHER).seal(b"x", "provider p 1")
    await gateway.db.execute("UPDATE providers SET credential_sealed = $1 WHERE name = 'google'", lost)
    told = (await gateway.admin("POST", "/secrets/rotate")).json
    assert (told["credentials"], told["unreadable"]) == (0, 1)
    assert await gateway.db.fetchval("SELECT credential_sealed FROM providers WHERE name = 'google'") == lost


async def test_without_a_key_there_is_nothing_to_rotate(gateway):
    assert (await gateway.admin("POST", "/secrets/rotate")).status == 409
