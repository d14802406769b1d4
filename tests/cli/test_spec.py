"""The tree describes itself: every action of the dashboard has its command there, help works everywhere, and shells can complete it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import msgspec
import pytest
from typer.main import get_command

from tests.cli import reference
from tests.cli.line import PROGRAM, optyx, process
from tests.tui import fake_gateway
from tui import completing, flags
from tui.cli import COMMANDS, DEFAULTS
from tui.coercing import converter_for
from tui.describing import tree
from tui.keys import ACTIONS
from tui.tree import VERBS, build

COMMAND_TREE = tree(COMMANDS)
BY_NAME = {one["command"]: one for one in COMMAND_TREE["commands"]}

PROMISED = """
quickstart login logout whoami status doctor tui top version spec completion env run api apply diff plan export explain chat reprice undo
ctx:list,use,current,add,edit,rename,remove,export projects:list,get,create,update,archive,restore,delete
keys:list,get,create,rotate,disable,enable,revoke,update,test,whois models:list,get,allow,disallow,default,prices,test
settings:get,set,edit,diff,preview,history,restore limits:list,set,override,overrides,hits tiers:list,get,set
providers:list,get,test,enable,disable,drain logs:tail,list,get,export,count,replay,capture audit:list,tail,get,verify,export
config:get,set,unset,path,explain,validate,schema usage users:list tokens:list,create prices:list,add billing:accounts,statement
demo up serve seed migrate:up,status,down events:tail
"""


def test_every_promised_command_is_there():
    for word in PROMISED.split():
        noun, _, verbs = word.partition(":")
        names = [f"{noun} {verb}" for verb in verbs.split(",")] if verbs else [noun]
        assert not [name for name in names if name not in BY_NAME]
    assert {"providers circuit close", "providers credential rotate"} <= set(BY_NAME)


@pytest.mark.parametrize("action", [one for one in ACTIONS if one.cli.startswith("optyx ")], ids=lambda one: one.id)
def test_every_action_of_the_dashboard_has_its_command(action):
    words = action.cli.split()[1:]
    size = next((size for size in (3, 2, 1) if " ".join(words[:size]) in BY_NAME), 0)
    assert size, action.cli
    command = BY_NAME[" ".join(words[:size])]
    own = {flag for one in command["options"] for flag in one["flags"]}
    for word in words[size:]:
        if word.startswith("-") and word != "-":
            assert word in own | set(flags.WITH_VALUE) | set(flags.SWITCHES) | {"-w"}, (action.cli, word)
    assert action.id in command["tui"]


def test_every_action_that_changes_something_names_its_command():
    without = [one.id for one in ACTIONS if one.writes and not one.cli]
    assert without == []


def test_no_command_shadows_a_flag_of_all_commands():
    shared = set(flags.WITH_VALUE) | set(flags.SWITCHES) | {"--json", "-w", "--watch"}
    for one in COMMAND_TREE["commands"]:
        if one["takes_shared_flags"]:
            assert not shared & {flag for option in one["options"] for flag in option["flags"]}, one["command"]


def test_every_command_says_what_it_does():
    assert [one["command"] for one in COMMAND_TREE["commands"] if not one["help"]] == []
    assert not [word for word in VERBS if f"keys {word}" in BY_NAME]
    assert all(f"{noun} {verb}" in BY_NAME for noun, verb in DEFAULTS.items())


@pytest.mark.parametrize("name", ["keys create", "logs tail", "providers circuit close", "usage"])
def test_help_is_on_stdout_and_0(name):
    ran = optyx(*name.split(), "--help")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith(f"Usage: optyx {name}")


def test_every_parameter_is_converted_without_pydantic():
    def params(command):
        yield from ((command.name, one) for one in command.params if hasattr(one, "type_descriptor"))
        for inner in getattr(command, "commands", {}).values():
            yield from params(inner)

    root = get_command(build(COMMANDS, list(COMMANDS)))
    assert [
        (name, one.name) for name, one in params(root) if converter_for(one.type_descriptor.annotation) is None
    ] == []


@pytest.mark.parametrize("words", [("--rpm", "many"), ("--rpm", "-1")])
def test_a_wrong_number_is_2_and_named(fake, words):
    ran = optyx("keys", "create", "-p", "acme", "--name", "x", *words)
    assert ran.status == 2
    assert "--rpm" in ran.err


def test_the_page_holds_the_tree():
    page = reference.PAGE.read_text()
    assert page == reference.whole(page), "run: python -m tests.cli.reference"


def test_spec_is_json_also_without_a_gateway():
    assert optyx("spec").json == COMMAND_TREE
    assert optyx("version", "-o", "json").json["gateway"] is None


def test_a_version_is_held_against_the_gateway_s_and_nobody_else_is_asked(fake, monkeypatch):
    same = optyx("version", "--check")
    assert (same.status, same.lines) == (0, ["Client:  0.1.0", "Gateway: 0.1.0"])
    assert "Whether there is a newer one was not asked" in same.err
    for ours, advice in (
        ("0.0.9", "Here: pipx install --force optyx==0.1.0"),
        ("0.1.10", "On the gateway's machine"),
        ("0.2.0rc1", "one version"),
    ):
        monkeypatch.setattr("gateway.version.VERSION", ours)
        other = optyx("version", "--check", "-o", "json")
        assert (other.status, other.json) == (9, {"client": ours, "gateway": "0.1.0"})
        assert f"fix: {advice}" in other.err or advice in other.err
        assert optyx("version").status == 0
    assert {path for _, path, _, _ in fake.seen} == {"/health"}


def test_a_version_can_not_be_held_against_nobody_s(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setenv("OPTYX_GATEWAY_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    assert optyx("version", "--check").status == 3
    assert optyx("version", "-o", "json").json["gateway"] is None


def test_a_stranger_s_version_is_none(fake, monkeypatch):
    routes = [("GET", "/health", lambda h: {"version": "9"}), *fake_gateway.ROUTES]
    monkeypatch.setattr(fake_gateway, "ROUTES", routes)
    ran = optyx("version", "--check")
    assert (ran.status, ran.out) == (1, "")
    assert "no Optyx gateway" in ran.err
    assert optyx("version", "-o", "json").json["gateway"] is None


def test_singular_nouns_and_short_verbs(fake):
    assert optyx("key", "ls", "-p", "acme").out == optyx("keys", "list", "-p", "acme").out
    assert optyx("project").out == optyx("projects", "list").out


def complete(*words: str) -> list[str]:
    done = subprocess.run([*PROGRAM, "--complete", *words], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_completion_knows_commands_flags_and_live_names(fake):
    assert complete("ke") == ["keys"]
    assert {"create", "rotate"} <= set(complete("keys", ""))
    assert "--out-file" in complete("keys", "create", "--")
    assert complete("keys", "list", "-o", "y") == ["yaml"]
    assert complete("keys", "get", "-p", "ac") == ["acme"]
    assert complete("keys", "disable", "-p", "acme", "ci-") == ["ci-deploy"]
    assert complete("providers", "circuit", "cl") == ["close"]
    assert complete("logs", "list", "st") == ["status:", "stream:"]
    assert complete("logs", "list", "status:5") == ["status:5xx"]
    assert complete("logs", "tail", "-provider:op") == ["-provider:openai"]
    asked = len(fake.seen)
    assert complete("keys", "enable", "-p", "acme", "web") == ["web-prod"]
    assert len(fake.seen) == asked, "names are kept for a minute"


def test_completion_without_a_gateway_is_quick_and_quiet(monkeypatch):
    monkeypatch.setenv("OPTYX_GATEWAY_URL", "http://10.255.255.1")
    monkeypatch.setenv("OPTYX_ADMIN_TOKEN", "t")
    complete("keys", "")
    began = time.monotonic()
    assert complete("keys", "get", "x") == []
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("shell", sorted(completing.SCRIPTS))
def test_the_scripts_parse_and_install(shell, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    script = optyx("completion", shell).out
    assert "--complete" in script
    program = shutil.which(shell)
    if program:
        assert subprocess.run([program, "-n"], input=script, capture_output=True, text=True).returncode == 0
    assert optyx("completion", shell, "--install").status == 0
    assert completing.PLACES[shell]().read_text() == script


LINES = {
    "optyx projects get ac": ("acme", ("projects", "get", "ac")),
    "optyx logs list status:": ("4xx 5xx 429", ("logs", "list", "status:")),
    "optyx logs list model:x -provider:op": ("openai", ("logs", "list", "model:x", "-provider:op")),
    "optyx logs export --format ": ("ndjson csv parquet", ("logs", "export", "--format", "")),
    "optyx keys get -p acme ci": ("ci-deploy", ("keys", "get", "-p", "acme", "ci")),
}
# as an interactive bash parts the line: at blanks, and at : and =, which are words of their own
ASKED = r"""eval "$(optyx completion bash)"; COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=()
rest=$1; while [[ $rest =~ ^[[:space:]]*([:=]|[^[:space:]:=]+) ]]; do COMP_WORDS+=("${BASH_REMATCH[1]}"); rest=${rest:${#BASH_REMATCH[0]}}; done
[[ $1 == *" " ]] && COMP_WORDS+=(""); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _optyx; echo "${COMPREPLY[*]}" """


def test_a_shell_completes_for_real(fake, tmp_path):
    """Without a bash on this machine: what bash would ask."""
    tool = tmp_path / "optyx"
    tool.write_text(f'#!/bin/sh\nexec {" ".join(PROGRAM)} "$@"\n')
    tool.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    bash = shutil.which("bash", path=f"{path}:/usr/local/bin:/usr/bin:/bin")
    for line, (replies, words) in LINES.items():
        if bash:
            command = [bash, "-c", ASKED, "bash", line]
            done = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=30)
            assert (done.stdout.split(), done.stderr) == (replies.split(), ""), line
        assert [one.rpartition(":")[2] for one in complete(*words)] == replies.split(), line


def test_a_name_that_a_shell_would_obey_is_not_offered(fake):
    for name in ("$(touch x)", "a;b", "`id`", "two words", "\u202egnp.exe", "=1+1", "it's", "a|b", "~root", "*"):
        fake.keys["acme"].append(msgspec.structs.replace(fake.keys["acme"][0], name=name))
    offered = complete("keys", "get", "-p", "acme", "")
    assert "web-prod" in offered
    assert all(re.fullmatch(r"\w[\w.=+-]*", name) for name in offered), offered
    assert complete("keys", "create", "--format", " ") == ["raw", "env", "json"]


def test_version_needs_next_to_nothing():
    code = (
        "import sys; sys.argv = ['optyx', '--version']\nfrom tui.cli import main\nmain()\n"
        "assert not {'typer', 'msgspec', 'http', 'ssl'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.startswith("optyx ")) == (0, True), done.stderr


def test_config_defaults_hold_below_flags_and_environment(fake, monkeypatch):
    assert optyx("config", "set", "output", "json").status == 0
    assert optyx("projects", "list").json
    assert optyx("projects", "list", "-o", "name").lines[0] == "acme"
    monkeypatch.setenv("OPTYX_OUTPUT", "name")
    assert optyx("projects", "list").lines[0] == "acme"
    monkeypatch.delenv("OPTYX_OUTPUT")
    explained = {one["name"]: one for one in optyx("config", "explain").json}
    assert explained["output"]["source"].endswith("config.toml")
    assert explained["url"]["source"] == "OPTYX_GATEWAY_URL"
    assert "optyx-admin-test" not in json.dumps(explained)
    assert optyx("config", "set", "output", "xml").status == 2
    assert optyx("config", "validate", "-o", "table").status == 0
    assert optyx("config", "unset", "output").status == 0
    assert optyx("config", "get", "output").status == 5


def test_watching_prints_a_line_for_each_change(fake):
    import threading

    def change() -> None:
        while sum(path.endswith("/projects") for _, path, _, _ in fake.seen) < 2:
            threading.Event().wait(0.01)
        fake.projects.pop()

    changing = threading.Thread(target=change)
    changing.start()
    running = subprocess.Popen(
        [*PROGRAM, "projects", "-w", "200ms"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    first, second = json.loads(running.stdout.readline()), json.loads(running.stdout.readline())
    import signal

    running.send_signal(signal.SIGINT)
    running.communicate(timeout=10)
    changing.join()
    assert (len(first) - len(second), running.returncode) == (1, 130)
    assert process("keys", "create", "-w", "--name", "x").status == 2
