"""The flags that every command takes, wherever they stand on the line: read out of the arguments before the command's own are parsed.

`up`, `serve`, `demo`, `migrate` and `seed` keep theirs to themselves (`NOT_FOR`). After `--` nothing is touched.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tui.faults import usage
from tui.filter_words import NEGATED

NOT_FOR = frozenset({"demo", "up", "serve", "migrate", "seed"})
FORMATS = ("table", "wide", "json", "ndjson", "yaml", "csv", "name")
WITH_VALUE = {
    "-c": "context", "--context": "context", "-p": "project", "--project": "project", "-o": "output", "--output": "output",
    "--fields": "fields", "--sort-by": "sort_by", "--limit": "limit", "--color": "color", "--timeout": "timeout",
    "--retries": "retries", "--url": "url", "--tz": "tz", "--confirm": "confirm", "--reason": "reason",
    "--idempotency-key": "idempotency_key",
}  # fmt: skip
SWITCHES = {
    "--no-headers": "no_headers", "--reverse": "reverse", "--all": "all", "-q": "quiet", "--quiet": "quiet", "-v": "verbose",
    "--verbose": "verbose", "--debug": "debug", "--no-input": "no_input", "--token-stdin": "token_stdin", "--ascii": "ascii",
    "--accessible": "accessible", "--yes": "yes", "-y": "yes", "--dry-run": "dry_run",
}  # fmt: skip
OF_ENVIRONMENT = {
    "context": "OPTYX_CONTEXT", "project": "OPTYX_PROJECT", "output": "OPTYX_OUTPUT", "no_input": "OPTYX_NO_INPUT",
    "ascii": "OPTYX_ASCII", "accessible": "OPTYX_ACCESSIBLE",
}  # fmt: skip
DEFAULTS = {
    "output": "output", "limit": "limit", "color": "color", "timeout": "timeout_s", "retries": "retries", "tz": "tz", "ascii": "ascii",
    "accessible": "accessible",
}  # fmt: skip
"""What config.toml may set for every command, and the attribute it becomes."""
FIELD_LIST = re.compile(r"[a-z_][\w.]*(,[a-z_][\w.]*)*", re.ASCII)

HELP = """Flags of every command:
  -c, --context NAME     which gateway (OPTYX_CONTEXT)
  -p, --project NAME     which project (OPTYX_PROJECT); the log takes several
  -o, --output FORMAT    table, wide, json, ndjson, yaml, csv, name, template=… (OPTYX_OUTPUT)
      --json [FIELDS]    the same as -o json, of these fields only
      --fields A,B.C     only these fields      --sort-by FIELD   --reverse
      --limit N          at most N (50; -1 or --all: all of them)
      --no-headers       tables without their first line
      --yes              don't ask              --confirm NAME    for what asks for a name
      --dry-run          say what would be sent, send nothing
      --reason TEXT      why, for the audit trail
      --idempotency-key  of a create that is sent again
      --timeout 30s      --retries 2            --url URL         --token-stdin
      --no-input         never ask (OPTYX_NO_INPUT, CI)
      --color WHEN       auto, always, never (NO_COLOR, CLICOLOR_FORCE)
      --tz ZONE          gateway, utc or local  --ascii           --accessible
  -w, --watch [2s]       list, get, status, usage: again and again
  -q, --quiet            no notes               -v, --verbose     show the HTTP calls"""


@dataclass
class Flags:
    """What was asked for, flags over environment. `given` names what the command line itself set."""

    context: str = ""
    project: str = ""
    output: str = "table"
    fields: str = ""
    sort_by: str = ""
    limit: int = 50
    color: str = "auto"
    timeout_s: float = 30.0
    retries: int = 2
    watch_s: float | None = None
    url: str = ""
    tz: str = "gateway"
    confirm: str = ""
    reason: str = ""
    idempotency_key: str = ""
    no_headers: bool = False
    reverse: bool = False
    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    no_input: bool = False
    token_stdin: bool = False
    ascii: bool = False
    accessible: bool = False
    yes: bool = False
    dry_run: bool = False
    given: set[str] = field(default_factory=set)
    projects: list[str] = field(default_factory=list)
    """Every -p of the command line: what reads the log takes several."""


def checked_default(name: str, value: str) -> None:
    """Raises Fault when a flag would not take this value."""
    _flags({name: value}, {}, {})


def parsed(
    words: list[str], env: Mapping[str, str] = os.environ, defaults: Mapping[str, object] | None = None
) -> tuple[Flags, list[str]]:
    """The flags, and the words that are left for the command: flag over environment over config.toml. Raises Fault."""
    taken: dict[str, str] = {}
    projects: list[str] = []
    rest: list[str] = []
    negated: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word == "--":
            rest += [word, *negated, *queue]
            negated = []
            break
        name, equals, value = word.partition("=")
        if NEGATED.match(word):
            negated.append(word)
        elif word in SWITCHES:
            taken[SWITCHES[word]] = "1"
        elif name in ("-w", "--watch"):
            taken["watch"] = value if equals else queue.pop(0) if queue and DURATION.fullmatch(queue[0]) else "2s"
        elif name == "--json":
            taken["output"] = "json"
            if equals:
                taken["fields"] = value
            elif queue and FIELD_LIST.fullmatch(queue[0]) and rest:
                taken["fields"] = queue.pop(0)
        elif name in WITH_VALUE and (equals or word == name):
            if not equals:
                if not queue:
                    raise usage(f"{word} needs a value", "optyx --help lists the flags of every command")
                value = queue.pop(0)
            taken[WITH_VALUE[name]] = value
        elif len(word) > 2 and word[0] == "-" and word[:2] in WITH_VALUE and word[1] != "-":
            taken[WITH_VALUE[word[:2]]] = word[2:]
        else:
            rest.append(word)
        if taken.get("project", "") not in ("", *projects[-1:]):
            projects.append(taken["project"])
    flags = _flags(taken, env, defaults or {})
    flags.projects = projects
    return flags, [*rest, "--", *negated] if negated else rest


def _flags(taken: dict[str, str], env: Mapping[str, str], defaults: Mapping[str, object]) -> Flags:
    flags = Flags(given=set(taken))
    for name, value in defaults.items():
        if name in DEFAULTS and name not in taken and not env.get(OF_ENVIRONMENT.get(name, "")):
            taken[name] = str(value)
    for name, variable in OF_ENVIRONMENT.items():
        if env.get(variable) and name not in taken:
            taken[name] = env[variable]
    if env.get("CI") and "no_input" not in taken:
        taken["no_input"] = "1"
    for name, text in taken.items():
        if name == "limit":
            flags.limit = _limit(text)
        elif name == "all":
            flags.limit = -1
        elif name == "retries":
            flags.retries = _whole(text, "--retries")
        elif name == "timeout":
            flags.timeout_s = seconds(text, "--timeout")
        elif name == "watch":
            flags.watch_s = max(0.2, seconds(text, "--watch"))
        elif isinstance(getattr(flags, name), bool):
            setattr(flags, name, text not in ("", "0", "false"))
        else:
            setattr(flags, name, text)
    if flags.output not in FORMATS and not flags.output.startswith("template="):
        raise usage(f"there is no output format {flags.output!r}", f"they are {', '.join(FORMATS)} and template=…")
    if flags.color not in ("auto", "always", "never"):
        raise usage(f"--color {flags.color}: it is auto, always or never")
    if flags.tz not in ("gateway", "utc", "local"):
        raise usage(f"--tz {flags.tz}: it is gateway, utc or local")
    return flags


def _limit(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number == 0 or number < -1:
        raise usage(f"--limit {text}: it is a whole number from 1 up, or -1 for all")
    return number


def _whole(text: str, flag: str) -> int:
    if not text.isdigit():
        raise usage(f"{flag} {text}: it is a whole number from 0 up")
    return int(text)


DURATION = re.compile(r"\d+(?:\.\d+)?(?:ms|s|m|h)")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def seconds(text: str, what: str) -> float:
    """`30s`, `1.5h`, `90d`, or plain seconds. Raises Fault."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)?", text.strip())
    if match is None:
        raise usage(f"{what} {text}: it is a duration such as 30s, 10m, 24h or 90d")
    return float(match[1]) * UNITS[match[2] or "s"]


def wants_color(flags: Flags, is_terminal: bool, env: Mapping[str, str] = os.environ) -> bool:
    """--color over NO_COLOR over CLICOLOR_FORCE over: a terminal that is not dumb."""
    if flags.color != "auto":
        return flags.color == "always"
    if env.get("NO_COLOR"):
        return False
    if env.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    return is_terminal and env.get("TERM") != "dumb"
