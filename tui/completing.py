"""What a shell asks at each press of tab: `optyx --complete WORD…` prints the words that fit. No Typer; the tree is kept in a file.

Live names come from a cache of at most 60 s, or one try of 250 ms at the gateway, or not at all. Never a secret.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tui import private_file
from tui.ending import discard
from tui.filter_words import NAMES, TYPED
from tui.flags import FORMATS, SWITCHES, WITH_VALUE, parsed

FRESH_S = 60.0
NETWORK_S = 0.25
NOUNS = {
    "projects": "projects",
    "keys": "keys",
    "providers": "providers",
    "models": "models",
    "tiers": "tiers",
    "ctx": "contexts",
}
OF_FLAG: dict[str, str] = {
    "-p": "projects", "--project": "projects", "-c": "contexts", "--context": "contexts", "--key": "keys", "--provider": "providers",
    "--model": "models", "-m": "models", "--tier": "tiers",
}  # fmt: skip


SECRET_FORMS = ("raw", "env", "json")
VALUES: dict[str, tuple[str, ...]] = {
    "-o": FORMATS, "--output": FORMATS, "--color": ("auto", "always", "never"), "--tz": ("gateway", "utc", "local"),
    "--shell": ("bash", "zsh", "fish", "pwsh", "dotenv"), "--sample": ("auto", "never"), "--store": ("file", "keyring"),
    "--only": ("local", "gateway", "net", "stream", "auth", "terminal"), "--topics": ("log", "audit", "provider"),
    "--kind": ("openai", "google", "anthropic"), "--mode": ("chat", "embedding"),
}  # fmt: skip
FORMS: dict[str, tuple[str, ...]] = {
    "logs tail": ("short", "long", "json"), "logs export": ("ndjson", "csv", "parquet"), "audit export": ("ndjson", "csv"),
    "keys create": SECRET_FORMS, "keys rotate": SECRET_FORMS, "tokens create": SECRET_FORMS,
}  # fmt: skip
"""What `--format` takes."""
PLAIN = re.compile(r"[A-Za-z0-9._/@][A-Za-z0-9._:/@%+=,-]*")
"""A name that every shell takes as it is. bash and PowerShell insert what they are given unquoted: another, such as `$(…)`, is not offered."""


def folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "optyx"


def complete(words: list[str], places: Any) -> None:
    """`words`: what stands on the line after `optyx`, the last one under way. Prints one fitting word a line; never fails."""
    with contextlib.suppress(Exception):  # a broken completion must not disturb the line
        begun = words[-1].strip() if words else ""  # PowerShell says a blank: before 7.3 it passes no empty words on
        for word in fitting(words[:-1], begun, places):
            if word.startswith(begun):
                print(word)
    discard(sys.stdout)


def fitting(before: list[str], begun: str, places: Any) -> list[str]:
    last = before[-1] if before else ""
    if last in VALUES:
        return list(VALUES[last])
    if last in OF_FLAG:
        return names(OF_FLAG[last], before)
    nouns = [word for word in parsed(list(before))[1] if not word.startswith("-")]
    if not nouns:
        return [*places, *SWITCHES, *WITH_VALUE] if begun.startswith("-") else list(places)
    noun = nouns[0] if nouns[0] in places else nouns[0] + "s"
    commands = {one["command"]: one for one in _tree(places)["commands"]}
    verbs = [name.split()[1] for name in commands if name.split()[0] == noun and " " in name]
    command = next(
        (" ".join([noun, *nouns[1:size]]) for size in (3, 2, 1) if " ".join([noun, *nouns[1:size]]) in commands), None
    )
    if last == "--format" and command in FORMS:
        return list(FORMS[command])
    if begun.startswith("-"):
        own = [flag for one in (commands.get(command or "", {}).get("options", [])) for flag in one["flags"]]
        negated = _of_filter(begun, before) if noun == "logs" and len(begun) > 1 else []
        return [*own, *SWITCHES, *WITH_VALUE, *negated]
    if command is None or (verbs and len(nouns) == 1):
        third = [
            name.split()[2] for name in commands if name.split()[:2] == [noun, *nouns[1:2]] and name.count(" ") == 2
        ]
        return third if len(nouns) == 2 else verbs
    if noun == "logs":
        return _of_filter(begun, before)
    return names(NOUNS[noun], before) if noun in NOUNS else []


def _of_filter(begun: str, before: list[str]) -> list[str]:
    """Fields, and behind a colon the values that are usual or live."""
    sign = "-" if begun.startswith("-") else ""
    field, colon, _ = begun.removeprefix("-").partition(":")
    if not colon:
        return [f"{sign}{name}:" for name in NAMES]
    live = names(field + "s", before) if field + "s" in NOUNS else []
    return [sign + word for word in (*TYPED, *(f"{field}:{name}" for name in live)) if not word.endswith(":")]


def _tree(places: Any) -> dict[str, Any]:
    """Kept beside the version: building it loads every command."""
    from gateway.version import VERSION

    path = folder() / f"tree-{VERSION}.json"
    newest = max(file.stat().st_mtime for file in (Path(__file__).parent / "commands").glob("*.py"))
    if path.is_file() and path.stat().st_mtime > newest:
        return dict(json.loads(path.read_text("utf-8")))
    from tui.describing import tree

    made = tree(places)
    _keep(path, made)
    return made


def _keep(path: Path, value: Any) -> None:
    private_file.replace(path, json.dumps(value).encode())


def names(kind: str, before: list[str]) -> list[str]:
    """Live names of a kind, at the gateway that the line is about, that a shell may be given."""
    return [name for name in _names(kind, before) if PLAIN.fullmatch(name)]


def _names(kind: str, before: list[str]) -> list[str]:
    from tui import contexts

    if kind == "contexts":
        return list(contexts.read().contexts)
    contexts.read_dotenv()
    flags, _ = parsed(before[:-1] if before and before[-1] in WITH_VALUE else list(before))
    place = contexts.place(flags)
    project = flags.project or place.project
    digest = hashlib.sha256(f"{place.url} {project}".encode()).hexdigest()[:16]
    path = folder() / f"names-{digest}-{kind}.json"
    if path.is_file() and time.time() - path.stat().st_mtime < FRESH_S:
        return list(json.loads(path.read_text("utf-8")))
    found = _asked(kind, place.url, place.token(), project)
    _keep(path, found)
    return found


def _asked(kind: str, url: str, token: str, project: str) -> list[str]:
    from tui.wire import Wire, quoted

    wire = Wire(url, token, timeout_s=NETWORK_S)
    try:
        if kind == "keys":
            where = [project] if project else [one["slug"] for one in _data(wire, "/projects?limit=20")]
            return [
                one["name"] for slug in where[:20] for one in _data(wire, f"/projects/{quoted(slug)}/keys?limit=500")
            ]
        path, name = {
            "projects": ("/projects?limit=500", "slug"),
            "providers": ("/providers", "name"),
            "models": ("/models?limit=500", "id"),
            "tiers": ("/tiers", "name"),
        }[kind]
        return [str(one[name]) for one in _data(wire, path)]
    finally:
        wire.close()


def _data(wire: Any, path: str) -> list[dict[str, Any]]:
    return list(wire.send("GET", "/admin/v1" + path).body["data"])


SCRIPTS: dict[str, str] = {
    "bash": """_optyx() {
    # bash parts words at : and = too; what stands without a gap belongs together, and of a reply it wants what is behind the last of them
    local IFS=$'\\n' cur gap line=$COMP_LINE word words=()
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        gap="${line%%"$word"*}" line="${line#*"$word"}"
        [[ -n $word ]] || gap="${COMP_LINE:COMP_POINT-1:1}"
        if [[ ${#words[@]} == 0 || $gap == *[[:space:]]* ]]; then words+=("$word"); else words[${#words[@]}-1]+="$word"; fi
    done
    cur="${words[${#words[@]}-1]}"
    COMPREPLY=($(optyx --complete "${words[@]:1}" 2>/dev/null))
    [[ ${COMPREPLY[0]} == *: ]] && compopt -o nospace 2>/dev/null
    case $cur in *[:=]*) COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*[:=]}"}"}");; esac
}
complete -o default -F _optyx optyx""",
    "zsh": """#compdef optyx
_optyx() {
    local -a found
    found=("${(@f)$(optyx --complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    (( ${#found} )) && [[ -n ${found[1]} ]] && compadd -a found || _files
}
compdef _optyx optyx""",
    "fish": """function __optyx
    set -l words (commandline -opc) (commandline -ct)
    optyx --complete $words[2..-1] 2>/dev/null
end
complete -c optyx -f -a '(__optyx)'""",
    "powershell": """Register-ArgumentCompleter -Native -CommandName optyx -ScriptBlock {
    param($begun, $line, $place)
    $words = @($line.CommandElements | Select-Object -Skip 1 | Where-Object { $_.Extent.EndOffset -le $place } | ForEach-Object { "$_" })
    if ($begun -eq '') { $words += ' ' }
    & optyx --complete @words 2>$null | ForEach-Object { [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_) }
}""",
}
PLACES: dict[str, Callable[[], Path]] = {
    "bash": lambda: (
        Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "bash-completion/completions/optyx"
    ),
    "zsh": lambda: Path.home() / ".zfunc/_optyx",
    "fish": lambda: Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "fish/completions/optyx.fish",
    "powershell": lambda: Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "powershell/optyx.ps1",
}
