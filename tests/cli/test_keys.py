"""A key's secret: alone on stdout in a pipe, framed on a terminal, in a file of its own; never with nobody."""

from __future__ import annotations

import os
import stat
import subprocess

import pytest

from tests.cli.line import PROGRAM, optyx, process, pty_process
from tests.tui.fake_changes import SECRET


def statuses(fake) -> dict[str, str]:
    return {key.name: key.status for key in fake.keys["acme"]}


def test_in_a_pipe_it_is_exactly_the_key_and_a_newline(fake):
    ran = process("keys", "create", "-p", "acme", "--name", "ci")
    assert (ran.status, ran.out) == (0, SECRET + "\n")
    assert SECRET not in ran.err
    assert "shown once" in ran.err


def test_on_a_terminal_it_is_framed_with_what_to_do_next(fake):
    ran = pty_process("keys", "create", "-p", "acme", "--name", "ci")
    assert f"│ {SECRET} │" in ran.out
    assert "next:" in ran.out


def test_a_file_of_its_own(fake, tmp_path):
    path = tmp_path / "key"
    ran = optyx("keys", "create", "-p", "acme", "--name", "ci", "--out-file", str(path))
    assert (ran.status, ran.out, path.read_text()) == (0, f"{path}\n", SECRET + "\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = optyx("keys", "create", "-p", "acme", "--name", "second", "--out-file", str(path))
    assert again.status == 1
    assert "second" not in statuses(fake)


def test_as_environment_and_as_json(fake):
    ran = optyx("keys", "create", "-p", "acme", "--name", "ci", "--format", "env")
    assert ran.lines == [f"OPENAI_API_KEY={SECRET}", f"OPENAI_BASE_URL={fake.url}/v1"]
    told = optyx("keys", "create", "-p", "acme", "--name", "ci2", "-o", "json")
    assert told.json["secret"] == SECRET
    assert "secret" in told.err


def test_what_stdout_can_not_take_is_disabled_again(fake):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, "keys", "create", "-p", "acme", "--name", "lost"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert statuses(fake)["lost"] == "disabled"
    assert "it is disabled" in done.stderr
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*PROGRAM, "keys", "create", "-p", "acme", "--name", "piped"], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert done.returncode == 1
    assert statuses(fake)["piped"] == "disabled"


def test_rotate_prints_the_new_secret_and_asks_before_now(fake):
    ran = optyx("keys", "rotate", "ci-deploy", "-p", "acme", "--grace", "2h")
    assert (ran.status, ran.out) == (0, SECRET + "\n")
    assert fake.seen[-1][3] == {"grace_s": 7200, "public_id": fake.keys["acme"][1].public_id}
    assert optyx("keys", "rotate", "ci-deploy", "-p", "acme", "--now").status == 2
    assert optyx("keys", "rotate", "ci-deploy", "-p", "acme", "--now", "--yes", "--confirm", "ci-deploy").status == 0


@pytest.mark.parametrize(
    "word", ["ci-deploy", "key_ci-deploy", "c91e77aq", "sk-optyx-c91e77aq", "sk-optyx-c91e77aq-rest"]
)
def test_a_key_is_found_by_name_id_and_prefix(fake, word):
    assert optyx("keys", "get", word, "-p", "acme", "-o", "name").out == "key_ci-deploy\n"


def test_what_is_not_there_is_5_and_what_is_twice_is_2(fake):
    assert optyx("keys", "get", "no-such", "-p", "acme").status == 5
    fake.keys["research"].append(fake.keys["acme"][0])
    assert optyx("keys", "get", fake.keys["acme"][0].name).status == 2


def test_several_are_disabled_from_stdin(fake):
    ran = optyx("keys", "disable", "--stdin", "--yes", "-p", "acme", stdin="ci-deploy\nweb-prod\n")
    assert ran.status == 0
    assert (statuses(fake)["ci-deploy"], statuses(fake)["web-prod"]) == ("disabled", "disabled")


def test_lists_are_narrowed(fake):
    assert optyx("keys", "list", "-p", "acme", "--status", "disabled", "--fields", "name", "-o", "csv").lines == [
        "name",
        "old-worker",
    ]
    assert "ci-deploy" in optyx("keys", "list", "-p", "acme", "--expiring", "900d").out


def test_a_new_key_can_be_tried_and_is_not_made_twice(fake):
    assert optyx("keys", "create", "-p", "acme", "--name", "tried", "--test").out == SECRET + "\n"
    again = optyx("keys", "create", "-p", "acme", "--name", "tried", "--if-not-exists")
    assert (again.status, again.out) == (0, "")


async def test_a_new_key_is_told_with_its_limits(live):
    words = ("keys", "create", "-p", "default", "--rpm", "60", "--concurrency", "3", "--budget", "10/month", "--test")
    told = await live(*words, "--name", "one")
    assert "; limits: 60 requests/min, 3 at once, $10.00 per 1mo." in told.err
    assert "Tried: it works." in told.err
    record = (await live(*words, "--name", "two", "-o", "json")).json
    assert (record["rpm"], record["concurrency"], record["budget"]["amount_usd"]) == (60, 3, "10.00")
    assert record["secret"].startswith("sk-optyx-")


async def test_a_key_is_tried_from_stdin_or_else_from_the_environment(live, gateway, monkeypatch):
    assert (await live("keys", "test")).status == 2
    monkeypatch.setenv("OPTYX_API_KEY", gateway.key)
    assert (await live("keys", "test", "-o", "json")).json["works"] is True
    assert (await live("keys", "test", stdin="sk-optyx-nothing\n")).status == 9


async def test_what_names_no_key_or_several_says_what_would(live):
    assert (await live("keys", "whois", "sk-optyx-")).status == 2
    for _ in range(2):
        assert (await live("keys", "create", "-p", "default", "--name", "twin")).status == 0
    several = await live("keys", "get", "twin", "-p", "default")
    assert (several.status, "hint: name its id" in several.err) == (2, True)


def test_a_key_that_could_not_be_copied_is_told_where_else_it_goes(fake, monkeypatch):
    monkeypatch.setenv("OPTYX_CLIPBOARD", "osc52")
    ran = subprocess.run(
        [*PROGRAM, "keys", "create", "-p", "acme", "--name", "ci", "--copy"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, start_new_session=True, timeout=30,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "there is no terminal here to send it to" in ran.stderr
    assert "--out-file" in ran.stderr
    assert statuses(fake)["ci"] == "disabled"
