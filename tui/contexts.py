"""Which gateway a command talks to, and as whom: flag, then environment, then `./.optyx.toml`, then context, then credentials.json.

Contexts are in `~/.config/optyx/config.toml` (0600): `[contexts.prod] url, project, readonly, guarded, color, theme, ca, token`. A token
is never taken from a project's folder, and is resolved only when it is needed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tui import private_file
from tui.faults import Fault, usage
from tui.flags import Flags

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KNOWN = {
    "url": str,
    "admin_url": str,
    "project": str,
    "readonly": bool,
    "guarded": bool,
    "color": str,
    "theme": str,
    "ca": str,
    "proxy": str,
    "token": str,
}
LOCAL_FILE = ".optyx.toml"


OF_DOTENV = ("OPTYX_HOME", "OPTYX_GATEWAY_URL", "OPTYX_ADMIN_TOKEN", "OPTYX_API_KEY")
_from_dotenv: set[str] = set()


def read_dotenv(path: Path | None = None) -> None:
    """Where a gateway of this folder keeps its data and is found, out of `./.env`, as the gateway itself reads it. What is set wins."""
    path = path or Path(".env")
    if not path.is_file():
        return
    from dotenv import dotenv_values

    for name, value in dotenv_values(path, interpolate=False).items():
        if name in OF_DOTENV and value and not os.environ.get(name):
            os.environ[name] = value
            _from_dotenv.add(name)


def folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "optyx"


def home() -> Path:
    """OPTYX_HOME, or where the gateway keeps its data by default."""
    given = os.environ.get("OPTYX_HOME")
    if given:
        return Path(given).expanduser()
    return Path("/var/lib/optyx") if hasattr(os, "geteuid") and os.geteuid() == 0 else Path.home() / ".optyx"


@dataclass
class Book:
    """The file, read: contexts by name, the current one, and what is set for every command (`defaults`)."""

    path: Path
    current: str = ""
    contexts: dict[str, dict[str, Any]] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)

    def context(self, name: str) -> dict[str, Any]:
        if name not in self.contexts:
            known = ", ".join(sorted(self.contexts)) or "none yet"
            raise usage(
                f"there is no context {name!r} (there are: {known})", "optyx ctx add NAME --url URL", "no_such_context"
            )
        return self.contexts[name]


def read(path: Path | None = None) -> Book:
    """An empty book when there is no file. Raises Fault with file, line and what is wanted."""
    path = path or folder() / "config.toml"
    try:
        mode = path.stat().st_mode
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Book(path)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise usage(f"{path}: {error}", "mend it, or move it away", "bad_config") from None
    except OSError as error:
        raise usage(f"{path} can't be read: {error.strerror}", code="bad_config") from None
    if mode & 0o077:
        raise usage(f"{path} can be read by others (mode {mode & 0o777:04o})", f"chmod 600 {path}", "open_config")
    return _book(path, table)


def _book(path: Path, table: dict[str, Any]) -> Book:
    contexts = table.get("contexts", {})
    problems = [f"{name!r} is not known" for name in table if name not in ("current", "contexts", "defaults")]
    if not isinstance(contexts, dict) or not all(isinstance(one, dict) for one in contexts.values()):
        raise usage(f"{path}: contexts are tables like [contexts.prod]", code="bad_config")
    for name, one in contexts.items():
        for key, value in one.items():
            if key not in KNOWN:
                problems.append(f"contexts.{name}.{key} is not known; there are {', '.join(KNOWN)}")
            elif not isinstance(value, KNOWN[key]):
                problems.append(
                    f"contexts.{name}.{key} must be {'true or false' if KNOWN[key] is bool else 'text in quotes'}"
                )
    if problems:
        raise usage(f"{path}: " + "; ".join(problems), code="bad_config")
    return Book(path, str(table.get("current", "")), contexts, table.get("defaults", {}))


def defaults() -> dict[str, Any]:
    """What config.toml sets for every command; a broken file is told by the command that needs it."""
    try:
        return read().defaults
    except Fault:
        return {}


def write(book: Book) -> None:
    """Whole or not at all, never readable by others."""
    lines = [f"current = {_text(book.current)}", ""] if book.current else []
    if book.defaults:
        lines += ["[defaults]", *(f"{name} = {_value(value)}" for name, value in book.defaults.items()), ""]
    for name, one in book.contexts.items():
        lines += [f"[contexts.{_text(name)}]", *(f"{key} = {_value(value)}" for key, value in one.items()), ""]
    try:
        private_file.replace(book.path, "\n".join(lines).encode())
    except OSError as error:
        raise usage(f"{book.path} can't be written: {error.strerror}", code="bad_config") from None


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else _text(str(value))


@dataclass
class Place:
    """What a command talks to. `sources` says where each value came from (`optyx config explain`)."""

    context: str
    url: str
    project: str = ""
    readonly: bool = False
    guarded: bool = False
    ca: str = ""
    proxy: str = ""
    color: str = ""
    theme: str = ""
    admin_url: str = ""
    """Of the admin API, where it listens apart from the gateway (ADMIN_PORT)."""
    token_source: str = ""
    sources: dict[str, str] = field(default_factory=dict)
    _token: str = ""

    def token(self) -> str:
        """Raises Fault when there is none, or its source fails."""
        return self._token or resolve(self.token_source)


def place(flags: Flags, env: Mapping[str, str] = os.environ) -> Place:
    """Raises Fault when no gateway is named anywhere."""
    book = read()
    near = _near()
    name, named_by = _first(
        ("flag --context", flags.context if "context" in flags.given else ""),
        ("OPTYX_CONTEXT", env.get("OPTYX_CONTEXT", "")),
        (f"./{LOCAL_FILE}", near.get("context", "")),
        (f"{book.path}, current", book.current),
    )
    wanted = dict(book.context(name)) if name else {}
    is_flagged = "context" in flags.given
    saved = {} if name else _credentials()
    file = str(home() / "credentials.json")
    of_env = ("", "") if is_flagged else _of(env, "OPTYX_GATEWAY_URL", "OPTYX_URL")
    url, url_by = _first(
        ("flag --url", flags.url),
        (of_env[0], of_env[1]),
        (f"context {name}", wanted.get("url", "")),
        (file, saved.get("gateway_url", "")),
    )
    if not url:
        raise usage(
            f"no gateway is named: no --url, OPTYX_GATEWAY_URL or context, and {home() / 'credentials.json'} names none",
            "start one with `optyx up`, or sign in to one with `optyx login URL`",
            "no_gateway",
        )
    project, project_by = _first(
        ("flag --project", flags.project if "project" in flags.given else ""),
        ("OPTYX_PROJECT", env.get("OPTYX_PROJECT", "")),
        (f"./{LOCAL_FILE}", near.get("project", "")),
        (f"context {name}", wanted.get("project", "")),
    )
    source, token_by, token = _token(flags, env, is_flagged, name, wanted, saved, file)
    if (
        url_by in _from_dotenv
        and token_by != "flag --token-stdin"
        and token_by not in _from_dotenv
        and url != saved.get("gateway_url")
    ):
        raise usage(
            f"./.env names the gateway {url}, and no token for it: a token of yours is not sent to an address that a folder names",
            "put OPTYX_ADMIN_TOKEN beside it, or use --context",
            "untrusted_url",
        )
    readonly = bool(wanted.get("readonly")) or env.get("OPTYX_READONLY", "") not in ("", "0")
    return Place(
        name or "local", checked_url(url), project, readonly, bool(wanted.get("guarded")), wanted.get("ca", ""),
        wanted.get("proxy", ""), wanted.get("color", ""), wanted.get("theme", ""),
        _admin_url(url, wanted, saved), source,
        {"context": named_by or "default", "url": url_by, "project": project_by or "default", "token": token_by or "nowhere"},
        token,
    )  # fmt: skip


def _admin_url(url: str, wanted: dict[str, Any], saved: dict[str, str]) -> str:
    """Of the gateway that was chosen, and of no other."""
    if wanted.get("url") == url:
        return str(wanted.get("admin_url", ""))
    return saved.get("admin_url", "") if saved.get("gateway_url") == url else ""


def _token(
    flags: Flags,
    env: Mapping[str, str],
    is_flagged: bool,
    name: str,
    wanted: dict[str, Any],
    saved: dict[str, str],
    file: str,
) -> tuple[str, str, str]:
    """Source, where that was said, and the token itself where it is at hand."""
    if flags.token_stdin:
        return "stdin", "flag --token-stdin", sys.stdin.readline().strip()
    if not is_flagged:
        variable, token = _of(env, "OPTYX_ADMIN_TOKEN", "OPTYX_TOKEN")
        if token:
            return f"env:{variable}", variable, token
        if env.get("OPTYX_TOKEN_FILE"):
            return f"file:{env['OPTYX_TOKEN_FILE']}", "OPTYX_TOKEN_FILE", ""
    if wanted.get("token"):
        return wanted["token"], f"context {name}", ""
    if saved.get("admin_token"):
        return f"file:{file}", file, saved["admin_token"]
    return "", "", ""


def _of(env: Mapping[str, str], *names: str) -> tuple[str, str]:
    return next(((name, env[name]) for name in names if env.get(name)), ("", ""))


def _first(*choices: tuple[str, str]) -> tuple[str, str]:
    """The first value that is set, and who said it."""
    return next(((value, by) for by, value in choices if value), ("", ""))


def _near() -> dict[str, str]:
    """`./.optyx.toml` may name a project and a context; anything else in it is refused, a token above all."""
    path = Path(LOCAL_FILE)
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise usage(f"./{LOCAL_FILE}: {error}", code="bad_config") from None
    for key, value in table.items():
        if key not in ("project", "context") or not isinstance(value, str):
            raise usage(
                f"./{LOCAL_FILE}: {key!r} can't stand here; only project and context, as text", code="bad_config"
            )
    return table


def _credentials() -> dict[str, str]:
    path = home() / "credentials.json"
    try:
        found = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError:
        return {}
    except (OSError, ValueError) as error:
        raise usage(
            f"{path} can't be read: {error}", "move it away and start the gateway again", "bad_config"
        ) from None
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def resolve(source: str) -> str:
    """A token out of `keyring:`, `file:`, `env:` or `cmd:`. Raises Fault: exit 4 when there is none."""
    kind, _, rest = source.partition(":")
    if not source:
        raise Fault("no admin token is set", exit=4, code="no_token", hint="optyx login, or OPTYX_ADMIN_TOKEN")
    if kind == "env":
        token = os.environ.get(rest, "")
    elif kind == "file":
        token = _from_file(Path(rest).expanduser())
    elif kind == "cmd":
        token = _from_command(rest)
    elif kind == "keyring":
        token = _from_keyring(rest)
    else:
        raise usage(f"a context's token is keyring:, file:, env: or cmd:, not {kind!r}", code="bad_config")
    if not token:
        raise Fault(f"the admin token's source {source} is empty", exit=4, code="no_token", hint="optyx login")
    return token


def _from_file(path: Path) -> str:
    try:
        text = path.read_text("utf-8").strip()
    except OSError as error:
        raise Fault(f"the admin token in {path} can't be read: {error.strerror}", exit=4, code="no_token") from None
    if path.stat().st_mode & 0o077:
        raise usage(f"{path} holds a token and can be read by others", f"chmod 600 {path}", "open_config")
    if text.startswith("{"):
        return str(json.loads(text).get("admin_token", ""))
    return text


def _from_command(command: str) -> str:
    try:
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        raise Fault("the command of the context's token took over 60 s", exit=4, code="no_token") from None
    if done.returncode != 0:
        raise Fault(f"the command of the context's token ended with {done.returncode}", exit=4, code="no_token")
    return done.stdout.strip()


def _from_keyring(name: str) -> str:
    return str(_keyring().get_password("optyx", name) or "")


def checked_url(url: str) -> str:
    """Without a slash at its end. Raises Fault for what is no address: a token must not go where a slip of the keyboard leads."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        is_address = False
    if not is_address:
        raise usage(f"{url} is no address of a gateway", "http://host:port or https://host")
    return url.rstrip("/")


def keep(name: str, token: str, store: str) -> str:
    """Puts a token away for a context; its source for config.toml. `store`: keyring or file."""
    if store == "keyring":
        _keyring().set_password("optyx", name, token)
        return f"keyring:{name}"
    path = folder() / f"{name}.token"
    private_file.replace(path, f"{token}\n".encode())
    return f"file:{path}"


def is_kept(name: str, source: str) -> bool:
    """Whether `keep` put it away for this context; other sources are not ours."""
    return source in (f"keyring:{name}", f"file:{folder() / f'{name}.token'}")


def forget(name: str, source: str) -> None:
    """Takes away what `keep` put away."""
    if not is_kept(name, source):
        return
    kind, _, rest = source.partition(":")
    if kind == "file":
        Path(rest).unlink(missing_ok=True)
    else:
        _keyring().delete_password("optyx", rest)


def keep_as(name: str, new: str, source: str) -> str:
    """The source for a context that is called `new` from now on: its old name is free for another's token."""
    if not is_kept(name, source):
        return source
    return keep(new, resolve(source), source.partition(":")[0])


def _keyring() -> Any:
    try:
        import keyring  # type: ignore[import-not-found]  # optional: the system's key store, when the user has installed it
    except ImportError:
        raise usage(
            "the package keyring is not installed here", "use file:, env: or cmd: instead", "no_keyring"
        ) from None
    return keyring
