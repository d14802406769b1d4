"""The contract of every command: stdout is data, stderr is talk, the exit status says what happened, nothing asks without a terminal."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
import yaml

from gateway.admin.schema.people import Whoami
from tests.cli.line import PROGRAM, optyx, process, pty_process
from tests.tui import fake_gateway, seeded_calls
from tests.tui.fake_changes import SECRET
from tests.tui.fake_gateway import TOKEN
from tui import flags
from tui.faults import Fault
from tui.safe import cells, cut

STATUSES = [
    (400, 7), (401, 4), (402, 8), (403, 4), (404, 5), (409, 6), (412, 6), (422, 7), (429, 8), (500, 1), (502, 1), (504, 1),
]  # fmt: skip


@pytest.mark.parametrize(("status", "wanted"), STATUSES)
def test_the_exit_status_follows_the_answer(fake, status, wanted):
    fake.fail_with = (status, "some_code", "It can't be done.")
    ran = optyx("projects", "list", "--retries", "0")
    assert (ran.status, ran.out) == (wanted, "")
    assert ran.err.startswith("optyx: error: It can't be done.")


def test_an_error_is_an_envelope_on_stderr_where_json_was_asked_for(fake):
    fake.fail_with = (503, "database_unavailable", "The database is away.")
    ran = optyx("projects", "list", "-o", "json", "--retries", "0")
    assert (ran.status, ran.out) == (1, "")
    assert set(ran.fault) == {"code", "message", "hint", "status", "field", "request_id", "retryable"}
    assert (ran.fault["code"], ran.fault["status"], ran.fault["retryable"]) == ("database_unavailable", 503, True)


def test_no_gateway_is_3_and_a_slow_one_124(fake, monkeypatch):
    monkeypatch.setenv("OPTYX_GATEWAY_URL", "http://127.0.0.1:9")
    assert optyx("projects", "list", "--retries", "0").status == 3
    import socket

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("OPTYX_GATEWAY_URL", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        ran = optyx("projects", "list", "--timeout", "200ms")
    assert (ran.status, ran.out) == (124, "")


def test_a_mistake_in_the_line_is_2_and_names_the_nearest_word(fake):
    ran = optyx("proyects", "list")
    assert (ran.status, ran.err) == (2, "optyx: error: there is no command 'proyects'\nhint: did you mean projects?\n")
    assert optyx("projects", "list", "--no-such").status == 2
    assert optyx("projects", "list", "-o", "xml").status == 2
    assert optyx("projects", "list", "--limit", "0").status == 2


def test_an_empty_list_is_a_success(fake):
    fake.projects = []
    assert optyx("projects", "list", "-o", "json").json == []
    ran = optyx("projects", "list")
    assert ran.status == 0
    assert "optyx projects create" in ran.err


def test_every_format_holds_the_same_rows(fake):
    whole = optyx("projects", "list", "-o", "json").json
    slugs = [one["slug"] for one in whole]
    assert len(slugs) == len(fake.projects)
    assert [json.loads(line) for line in optyx("projects", "list", "-o", "ndjson").lines] == whole
    assert yaml.safe_load(optyx("projects", "list", "-o", "yaml").out) == whole
    rows = list(csv.DictReader(io.StringIO(optyx("projects", "list", "-o", "csv").out, newline="")))
    assert [row["slug"] for row in rows] == slugs
    assert optyx("projects", "list", "-o", "name").lines == slugs
    assert optyx("projects", "list", "-o", "template={slug}!").lines == [f"{slug}!" for slug in slugs]
    table = optyx("projects", "list").lines
    assert [line.split()[0] for line in table] == ["PROJECT", *slugs]


def test_money_is_there_as_an_integer_and_as_a_decimal_string(fake):
    for one in optyx("projects", "list", "-o", "json").json:
        whole, _, rest = one["today_usd"].partition(".")
        assert int(whole) * 10**9 + int(rest.ljust(9, "0")) == one["today_nusd"]


def test_fields_sorting_and_limits(fake):
    assert optyx("projects", "list", "--json", "slug,status").json[0] == {"slug": "acme", "status": "active"}
    names = optyx("projects", "list", "-o", "name", "--sort-by", "slug", "--reverse").lines
    assert names == sorted(names, reverse=True)
    assert optyx("projects", "list", "--sort-by", "nothing").status == 2
    cut_off = optyx("projects", "list", "--limit", "2", "-o", "json")
    assert len(cut_off.json) == 2
    assert json.loads(cut_off.err)["truncated"] is True
    assert "--all" in optyx("projects", "list", "--limit", "2").err
    assert len(optyx("projects", "list", "--all", "-o", "name").lines) == len(fake.projects)


def test_nothing_asks_without_a_terminal(fake):
    ran = optyx("keys", "disable", "ci-deploy", "-p", "acme")
    assert ran.status == 2
    assert "--yes" in ran.err
    ran = optyx("keys", "revoke", "ci-deploy", "-p", "acme", "--yes")
    assert ran.status == 2
    assert "--confirm ci-deploy" in ran.err
    assert not [one for one in fake.seen if one[0] != "GET"]
    assert optyx("keys", "revoke", "ci-deploy", "-p", "acme", "--yes", "--confirm", "ci-deploy").status == 0


def test_a_dry_run_sends_nothing(fake):
    ran = optyx("keys", "create", "-p", "acme", "--name", "ci", "--dry-run")
    assert (ran.status, ran.out) == (0, 'would send: POST /admin/v1/projects/acme/keys {"name": "ci"}\n')
    assert optyx("keys", "disable", "ci-deploy", "-p", "acme", "--dry-run", "-o", "json").json["method"] == "POST"
    assert not [one for one in fake.seen if one[0] != "GET"]


def test_a_change_says_where_on_stderr(fake):
    ran = optyx("keys", "enable", "old-worker", "-p", "acme")
    assert ran.out == ""
    assert f"context: local {fake.url}" in ran.err
    assert "undo: optyx keys disable" in ran.err


def test_hostile_text_never_reaches_the_terminal(fake):
    fake.hostile = "\x1b]52;c;aGk=\x07\x9b2J\u202eacme"
    for words in (
        ("projects", "list"),
        ("keys", "list"),
        ("projects", "list", "-o", "name"),
        ("projects", "list", "-o", "wide"),
    ):
        ran = optyx(*words)
        assert ran.status == 0
        assert all(character == "\n" or character.isprintable() for character in ran.out + ran.err), words
    plain = optyx("api", "GET", "/projects").json["data"][0]["name"]
    assert plain == fake.hostile
    for form in ("json", "ndjson", "yaml"):  # it says the same, in signs that nothing obeys
        ran = optyx("projects", "list", "-o", form)
        assert all(character == "\n" or character.isprintable() for character in ran.out), form
        read = yaml.safe_load(ran.out) if form != "ndjson" else [json.loads(line) for line in ran.lines]
        assert read[0]["name"] == plain
    assert optyx("api", "GET", "/projects").out.replace("\n", "").isprintable()


def test_ascii_and_accessible_output(fake):
    assert optyx("keys", "list", "-p", "acme", "--ascii").out.isascii()
    blocks = optyx("projects", "list", "--accessible").out
    assert "Project: acme\n" in blocks
    assert "─" not in blocks


def test_the_same_bytes_in_a_pipe_and_on_a_terminal(fake):
    stopped = {"OPTYX_NOW": "2026-11-24T12:00:00Z"}  # "2 h ago" is the same in both
    piped = process("projects", "list", env=stopped)
    shown = pty_process("projects", "list", "--color", "never", env=stopped)
    assert shown.out == piped.out
    colored = pty_process("projects", "list")
    assert "\x1b[" in colored.out
    assert "\x1b[" not in pty_process("projects", "list", env={"NO_COLOR": "1"}).out
    assert "\x1b[" in process("projects", "list", env={"CLICOLOR_FORCE": "1"}).out


def test_on_a_terminal_it_asks_and_the_default_is_no(fake):
    ran = pty_process("keys", "disable", "ci-deploy", "-p", "acme", typed="n")
    assert ran.status == 1
    assert "nothing was changed" in ran.out
    assert pty_process("keys", "disable", "ci-deploy", "-p", "acme", typed="y").status == 0
    assert pty_process("keys", "revoke", "ci-deploy", "-p", "acme", typed="ci-deploi").status == 1


def test_an_interrupt_is_130(fake):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        env = {**os.environ, "OPTYX_GATEWAY_URL": f"http://127.0.0.1:{deaf.getsockname()[1]}"}
        running = subprocess.Popen([*PROGRAM, "projects"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with deaf.accept()[0]:
            began = time.monotonic()
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=10)
    assert running.returncode == 130
    assert time.monotonic() - began < 5
    assert b"Traceback" not in err


def test_a_list_loads_neither_textual_nor_the_server(fake):
    code = (
        "import sys; sys.argv = ['optyx', 'keys', 'list', '-p', 'acme']\n"
        "from tui.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "loaded = {'textual', 'asyncpg', 'aiohttp', 'rich', 'httpx', 'asyncio', 'yaml', 'pydantic'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def test_verbose_shows_the_calls_and_no_secret(fake):
    ran = optyx("projects", "list", "-v", "--debug")
    assert "GET http://" in ran.err
    assert TOKEN not in ran.err
    assert SECRET not in ran.err


def test_flags_stand_anywhere_and_stop_at_two_dashes():
    found, rest = flags.parsed(["-o", "json", "keys", "list", "-pacme", "--limit=3", "--", "-q"], {})
    assert (found.output, found.project, found.limit, found.quiet) == ("json", "acme", 3, False)
    assert rest == ["keys", "list", "--", "-q"]
    assert flags.parsed(["keys", "list"], {"OPTYX_OUTPUT": "yaml"})[0].output == "yaml"
    assert flags.parsed(["keys", "list", "-o", "csv"], {"OPTYX_OUTPUT": "yaml"})[0].output == "csv"
    with pytest.raises(Fault, match="needs a value"):
        flags.parsed(["keys", "--project"], {})


def test_widths_are_cells():
    assert cells("日本") == 4
    assert cut("日本語テスト", 5) == "日本…"
    assert cut("abc", 3) == "abc"


def test_a_filter_or_field_that_is_none_is_2_and_not_an_empty_list(fake):
    for words, says in (
        (("keys", "list", "--status", "lost"), "they are active, unused"),
        (("keys", "list", "--expiring", "soon"), "--expiring soon: it is a duration"),
        (("projects", "list", "--fields", "slug,colour"), "--fields colour: there is no such field"),
        (("projects", "list", "--json=colour"), "there are id, slug"),
        (("projects", "list", "-o", "csv", "--fields", "colour"), "--fields colour"),
    ):
        ran = optyx(*words)
        assert (ran.status, ran.out) == (2, ""), words
        assert says in ran.err


def test_times_are_written_in_the_gateway_s_zone_and_never_is_a_word(fake, monkeypatch):
    zone = [("GET", "/admin/v1/whoami", lambda h: Whoami(name="t", role="owner", timezone="Asia/Kolkata"))]
    monkeypatch.setattr(fake_gateway, "ROUTES", [*zone, *fake_gateway.ROUTES])
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        at = datetime(2026, 11, 24, 12, 4, 31, tzinfo=UTC)
        fake.history[:] = [seeded_calls.call(3, at)]
        for flags, said in (
            ((), "2026-11-24 17:34:31+0530"),
            (("--tz", "gateway"), "2026-11-24 17:34:31+0530"),
            (("--tz", "utc"), "2026-11-24 12:04:31Z"),
            (("--tz", "local"), "2026-11-24 07:04:31-0500"),
        ):
            assert optyx("logs", "list", *flags, "--fields", "created_at", "--no-headers").lines == [said]
            (line,) = optyx("logs", "tail", "-n", "1", "--max", "1", *flags).lines
            assert line.split()[0] == said[11:19] + ".000"
        asked = [path for _, path, _, _ in fake.seen].count("/admin/v1/whoami")
        assert asked == 4  # once a run, and only where the gateway's own zone is wanted
        optyx("keys", "list", "-p", "acme")
        assert [path for _, path, _, _ in fake.seen].count("/admin/v1/whoami") == asked
    finally:
        monkeypatch.undo()
        time.tzset()


def test_never_is_a_word_in_every_form(fake):
    for form in ((), ("-o", "wide"), ("--accessible",)):
        assert "never" in optyx("keys", "list", "-p", "acme", *form).out
    assert "never" in optyx("keys", "get", "key_web-prod").out


def test_yes_and_no_in_csv_are_json_s(fake):
    ran = optyx("providers", "list", "-o", "csv", "--fields", "name,enabled")
    assert {line.split(",")[1] for line in ran.lines[1:]} == {"true", "false"}
