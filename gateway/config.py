"""The environment, read once: one table of variables, every problem reported at once. Called by the parent, the workers and the CLI.

What an operator changes while the gateway runs are *settings*, and are rows in the database; these are not here.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from dotenv import dotenv_values

from gateway.egress import Egress, exemptions, proxy_of
from gateway.networks import Networks, read_list
from gateway.secret import Secret


class ConfigError(Exception):
    """Every bad or unknown variable, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Variable(msgspec.Struct, frozen=True):
    """One row of the table: `default` as it would be written, `parse` raises ValueError saying what is wanted."""

    name: str
    default: str | None
    meaning: str
    parse: Callable[[str], Any]
    side: Literal["gateway", "client"] = "gateway"
    secret: bool = False


def _text(value: str) -> str:
    return value


def _secret(value: str) -> Secret:
    return Secret(value)


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise ValueError(f"wants a whole number from {low} to {high}") from None
        if not low <= number <= high:
            raise ValueError(f"wants a whole number from {low} to {high}")
        return number

    return parse


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"wants a number of seconds from {low:g} to {high:g}") from None
        if not low <= number <= high:
            raise ValueError(f"wants a number of seconds from {low:g} to {high:g}")
        return number

    return parse


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.lower() not in choices:
            raise ValueError(f"wants one of {', '.join(choices)}")
        return value.lower()

    return parse


def _switch(value: str) -> bool:
    if value.lower() in ("1", "true", "yes", "on"):
        return True
    if value.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("wants 1 or 0")


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not (parts.netloc or parts.query):
            raise ValueError(f"wants a URL that starts with {' or '.join(s + '://' for s in schemes)}")
        return value.rstrip("/") if parts.scheme.startswith("http") else value

    return parse


def _secret_url(*schemes: str) -> Callable[[str], Secret]:
    parse = _url(*schemes)
    return lambda value: Secret(parse(value))


def _origins(value: str) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in value.split(",") if part.strip())
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query:
            raise ValueError(f"wants origins such as https://console.example.com, comma-separated; {origin!r} is none")
    return origins


def _sealing_key(value: str) -> Secret:
    """One key, or several with commas in between: the first seals, all of them open."""
    keys = [part.strip() for part in value.split(",")]
    for key in keys:
        try:
            size = len(base64.b64decode(key, validate=True))
        except (binascii.Error, ValueError):
            size = 0
        if size != 32:
            raise ValueError(
                "wants the base64 of 32 bytes: head -c 32 /dev/urandom | base64 (a new key stands before the old ones, with a comma)"
            )
    return Secret(",".join(keys))


def _default_home() -> str:
    return "/var/lib/optyx" if os.geteuid() == 0 else "~/.optyx"


VARIABLES: tuple[Variable, ...] = (
    Variable(
        "DATABASE_URL",
        None,
        "Postgres 15 or newer; unset: an embedded Postgres in OPTYX_HOME.",
        _secret_url("postgresql", "postgres"),
        secret=True,
    ),
    Variable(
        "REDIS_URL",
        None,
        "Redis or Valkey, Cluster included, for rates and slots over several machines; unset: through Postgres.",
        _secret_url("redis", "rediss", "unix"),
        secret=True,
    ),
    Variable("GATEWAY_HOST", "127.0.0.1", "Address the gateway listens on.", _text),
    Variable("GATEWAY_PORT", "4000", "Port the gateway listens on.", _integer(1, 65535)),
    Variable(
        "GATEWAY_WORKERS", None, "Processes sharing the port; unset: 1, with `optyx up` one per core.", _integer(1, 256)
    ),
    Variable(
        "ADMIN_HOST", None, "Address of the admin API when it has a listener of its own; unset: GATEWAY_HOST.", _text
    ),
    Variable(
        "ADMIN_PORT",
        None,
        "Port of the admin API's own listener; unset: the gateway's listener serves /admin.",
        _integer(1, 65535),
    ),
    Variable(
        "DASHBOARD_ORIGIN",
        None,
        "Origins (comma-separated) allowed by CORS on /health and /v1, never on /admin; unset: none.",
        _origins,
    ),
    Variable(
        "OPTYX_TRUSTED_PROXIES",
        None,
        "Proxies in front of the gateway (addresses, networks, comma-separated) whose X-Forwarded-For is believed; unset: none.",
        read_list,
    ),
    Variable("OPENAI_API_KEY", None, "Credential of the provider `openai`.", _secret, secret=True),
    Variable(
        "OPENAI_BASE_URL",
        "https://api.openai.com/v1",
        "Base URL of the provider `openai`: any OpenAI-compatible server.",
        _url("http", "https"),
    ),
    Variable("GOOGLE_API_KEY", None, "Credential of the provider `google` (the Gemini API).", _secret, secret=True),
    Variable(
        "GOOGLE_BASE_URL",
        "https://generativelanguage.googleapis.com",
        "Base URL of the provider `google`.",
        _url("http", "https"),
    ),
    Variable("ANTHROPIC_API_KEY", None, "Credential of the provider `anthropic`.", _secret, secret=True),
    Variable(
        "ANTHROPIC_BASE_URL",
        "https://api.anthropic.com",
        "Base URL of the provider `anthropic`.",
        _url("http", "https"),
    ),
    Variable(
        "HTTPS_PROXY",
        None,
        "Proxy to providers on https, such as http://user:password@proxy.example.com:3128; also https_proxy.",
        proxy_of("HTTPS_PROXY"),
        secret=True,
    ),
    Variable(
        "HTTP_PROXY",
        None,
        "Proxy to providers on plain http; also http_proxy.",
        proxy_of("HTTP_PROXY"),
        secret=True,
    ),
    Variable(
        "NO_PROXY",
        None,
        "What no proxy leads to: names (and what is below them), addresses, networks, comma-separated, or *; also no_proxy.",
        exemptions,
    ),
    Variable("OPTYX_FORCE_OPENAI_FAILOVER", "0", "1: calls of tier `fast` act as if OpenAI had failed.", _switch),
    Variable("GATEWAY_MAX_BODY_MB", "32", "Largest request body, MiB.", _integer(1, 1024)),
    Variable("GATEWAY_MAX_ANSWER_MB", "64", "Largest whole answer held in memory, MiB.", _integer(1, 1024)),
    Variable(
        "GATEWAY_HEADER_TIMEOUT_S", "10", "How long a client may take to send a request's headers.", _number(0.1, 3600)
    ),
    Variable("GATEWAY_IDLE_TIMEOUT_S", "75", "How long an idle keep-alive connection stays open.", _number(0.1, 3600)),
    Variable("GATEWAY_WRITE_TIMEOUT_S", "60", "How long a client may take nothing of its answer.", _number(0.1, 3600)),
    Variable("GATEWAY_LAME_DUCK_S", "5", "After SIGTERM: how long the listeners stay open.", _number(0, 600)),
    Variable("GATEWAY_DRAIN_S", "300", "After SIGTERM: how long calls may take to finish.", _number(0, 3600)),
    Variable(
        "OPTYX_DURABILITY",
        "process",
        "What a record survives: `process` a kill -9, `power` a power cut too.",
        _one_of("process", "power"),
    ),
    Variable(
        "OPTYX_HOME", None, "Data directory, journal, credentials; unset: ~/.optyx, for root /var/lib/optyx.", _text
    ),
    Variable(
        "OPTYX_PG_BINDIR", None, "Folder with postgres and initdb to use in place of the embedded package's.", _text
    ),
    Variable(
        "OPTYX_SECRET_KEY",
        None,
        "Base64 of 32 bytes that seals stored credentials and bodies (to rotate: new,old); unset: made in OPTYX_HOME.",
        _sealing_key,
        secret=True,
    ),
    Variable(
        "OPTYX_ALERT_SECRET",
        None,
        "Signs budget alerts to the webhook (HMAC-SHA256); unset: unsigned.",
        _secret,
        secret=True,
    ),
    Variable("LOG_LEVEL", "info", "debug, info, warning or error.", _one_of("debug", "info", "warning", "error")),
    Variable("LOG_FORMAT", None, "text or json; unset: text on a terminal, json otherwise.", _one_of("text", "json")),
    Variable(
        "OPTYX_GATEWAY_URL",
        None,
        "The gateway that CLI and TUI talk to; unset: credentials.json.",
        _url("http", "https"),
        "client",
    ),
    Variable(
        "OPTYX_ADMIN_TOKEN", None, "The admin token of CLI and TUI; unset: credentials.json.", _secret, "client", True
    ),
    Variable("OPTYX_CONTEXT", None, "The context of the CLI's config.toml to use.", _text, "client"),
    Variable("OPTYX_URL", None, "Another name of OPTYX_GATEWAY_URL.", _url("http", "https"), "client"),
    Variable("OPTYX_TOKEN", None, "Another name of OPTYX_ADMIN_TOKEN.", _secret, "client", True),
    Variable("OPTYX_TOKEN_FILE", None, "A file (0600) with the admin token of CLI and TUI.", _text, "client"),
    Variable("OPTYX_PROJECT", None, "The project that commands work on when --project is not given.", _text, "client"),
    Variable("OPTYX_READONLY", None, "1: CLI and TUI change nothing.", _text, "client"),
    Variable("OPTYX_NO_INPUT", None, "1: the CLI never asks.", _text, "client"),
    Variable("OPTYX_ASCII", None, "1: CLI and TUI write ASCII alone.", _text, "client"),
    Variable(
        "OPTYX_ACCESSIBLE", None, "1: lines for screen readers in place of tables and full screens.", _text, "client"
    ),
    Variable("OPTYX_CLIPBOARD", None, "How CLI and TUI copy: auto, tmux, osc52, native or off.", _text, "client"),
    Variable(
        "OPTYX_OSC52_MAX",
        None,
        "The longest text that is copied through OSC 52, in base64 characters.",
        _text,
        "client",
    ),
    Variable("OPTYX_REDUCED_MOTION", None, "Set: nothing moves in the TUI.", _text, "client"),
    Variable("OPTYX_HIDE_SECRETS", None, "Set: the TUI never draws a new key's secret.", _text, "client"),
    Variable("OPTYX_OUTPUT", None, "The CLI's output format when --output is not given.", _text, "client"),
    Variable("OPTYX_THEME", None, "The TUI's theme.", _text, "client"),
    Variable("OPTYX_NOW", None, "A frozen clock (ISO 8601) for pictures of the TUI.", _text, "client"),
    Variable(
        "OPTYX_API_KEY",
        None,
        "The project key of real calls that CLI and TUI make: the playground, examples.",
        _secret,
        "client",
        True,
    ),
    Variable("NO_COLOR", None, "Set: no colours in CLI and TUI.", _text, "client"),
)
BY_NAME: Mapping[str, Variable] = {variable.name: variable for variable in VARIABLES}

_AS_CURL = {"HTTP_PROXY": "http_proxy", "HTTPS_PROXY": "https_proxy", "NO_PROXY": "no_proxy"}
"""Names that are common in small letters, and then count first."""
_OURS = ("OPTYX_", "GATEWAY_")
_OF_THE_MAKEFILE = frozenset({"OPTYX_NO_UV"})


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway's part of the environment, parsed. Times are seconds, sizes bytes."""

    home: Path
    database_url: Secret | None
    redis_url: Secret | None
    host: str
    port: int
    workers: int | None
    admin_host: str
    admin_port: int | None
    dashboard_origins: tuple[str, ...]
    trusted_proxies: Networks | None
    force_openai_failover: bool
    max_body: int
    max_answer: int
    header_timeout_s: float
    idle_timeout_s: float
    write_timeout_s: float
    lame_duck_s: float
    drain_s: float
    durability: Literal["process", "power"]
    pg_bindir: Path | None
    secret_key: Secret | None
    alert_secret: Secret | None
    log_level: str
    log_format: str | None
    egress: Egress
    environment: Mapping[str, str]
    """The raw environment, for what a provider row names (`env:OPENAI_API_KEY`)."""

    def __repr__(self) -> str:
        """Without the environment, which holds credentials."""
        fields = [name for name in self.__struct_fields__ if name != "environment"]
        return f"Config({', '.join(f'{name}={getattr(self, name)!r}' for name in fields)})"


def environment(folder: Path | None = None) -> dict[str, str]:
    """The process's environment over the `.env` of `folder` (the current one): what is really set wins."""
    path = (folder or Path.cwd()) / ".env"
    values = dotenv_values(path, interpolate=False) if path.is_file() else {}
    return {name: value for name, value in values.items() if value is not None} | dict(os.environ)


def load(env: Mapping[str, str] | None = None) -> Config:
    """Reads the whole table; raises ConfigError with every problem at once. An empty value counts as unset."""
    env = environment() if env is None else env
    values, problems = parse(env)
    problems += unknown(env)
    if problems:
        raise ConfigError(problems)
    return Config(
        home=Path(values["OPTYX_HOME"] or _default_home()).expanduser().absolute(),
        database_url=values["DATABASE_URL"],
        redis_url=values["REDIS_URL"],
        host=values["GATEWAY_HOST"],
        port=values["GATEWAY_PORT"],
        workers=values["GATEWAY_WORKERS"],
        admin_host=values["ADMIN_HOST"] or values["GATEWAY_HOST"],
        admin_port=values["ADMIN_PORT"],
        dashboard_origins=values["DASHBOARD_ORIGIN"] or (),
        trusted_proxies=values["OPTYX_TRUSTED_PROXIES"],
        force_openai_failover=values["OPTYX_FORCE_OPENAI_FAILOVER"],
        max_body=values["GATEWAY_MAX_BODY_MB"] << 20,
        max_answer=values["GATEWAY_MAX_ANSWER_MB"] << 20,
        header_timeout_s=values["GATEWAY_HEADER_TIMEOUT_S"],
        idle_timeout_s=values["GATEWAY_IDLE_TIMEOUT_S"],
        write_timeout_s=values["GATEWAY_WRITE_TIMEOUT_S"],
        lame_duck_s=values["GATEWAY_LAME_DUCK_S"],
        drain_s=values["GATEWAY_DRAIN_S"],
        durability=values["OPTYX_DURABILITY"],
        pg_bindir=Path(values["OPTYX_PG_BINDIR"]) if values["OPTYX_PG_BINDIR"] else None,
        secret_key=values["OPTYX_SECRET_KEY"],
        alert_secret=values["OPTYX_ALERT_SECRET"],
        log_level=values["LOG_LEVEL"],
        log_format=values["LOG_FORMAT"],
        egress=Egress(values["HTTP_PROXY"], values["HTTPS_PROXY"], values["NO_PROXY"] or ()),
        environment=env,
    )


def parse(env: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Every variable's value by name, and one line for each that can't be read. A secret's value is never in a line."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for variable in VARIABLES:
        text = env.get(_AS_CURL.get(variable.name, "")) or env.get(variable.name) or variable.default
        values[variable.name] = None
        if text is None:
            continue
        try:
            values[variable.name] = variable.parse(text)
        except ValueError as error:
            shown = "" if variable.secret else f" (it is {text!r})"
            problems.append(f"{variable.name} {error}{shown}")
    return values, problems


def unknown(env: Mapping[str, str]) -> list[str]:
    """One line for each OPTYX_ or GATEWAY_ name that is not in the table, with the nearest that is."""
    lines = []
    for name in sorted(env):
        if not name.startswith(_OURS) or name in BY_NAME or name in _OF_THE_MAKEFILE:
            continue
        near = difflib.get_close_matches(name, BY_NAME, n=1, cutoff=0.6)
        lines.append(f"{name} is not a variable of Optyx" + (f"; did you mean {near[0]}?" if near else ""))
    return lines
