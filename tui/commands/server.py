"""`optyx demo`, `up`, `serve`: a gateway in the foreground."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

demo = typer.Typer()
up = typer.Typer()
serve = typer.Typer()


@demo.command()
def demo_command(
    local_model: Annotated[
        bool, typer.Option("--local-model", help="A small real model on the CPU in place of the sandbox.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Processes sharing the port.", min=1, max=256)] = None,
) -> None:
    """A gateway with invented answers: embedded Postgres, sandbox provider, a key and curl lines to try."""
    _run("demo", workers, local_model)


@up.command()
def up_command(
    workers: Annotated[
        int | None, typer.Option(help="Processes sharing the port; default: one per core.", min=1, max=256)
    ] = None,
) -> None:
    """A real gateway from nothing: embedded Postgres unless DATABASE_URL is set, migrate, seed, serve."""
    _run("up", workers, False)


@serve.command()
def serve_command(
    workers: Annotated[int | None, typer.Option(help="Processes sharing the port.", min=1, max=256)] = None,
) -> None:
    """The gateway alone, against DATABASE_URL; never migrates."""
    _run("serve", workers, False)


def _run(mode: str, workers: int | None, local_model: bool) -> None:
    from gateway import logs
    from gateway.config import ConfigError, load
    from gateway.supervise import Started, StartError, Supervisor

    try:
        config = load()
    except ConfigError as error:
        print("The environment has problems:\n  " + "\n  ".join(error.problems), file=sys.stderr)
        raise typer.Exit(2) from None
    logs.set_up(config.log_level, config.log_format)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = workers or config.workers or (cores if mode == "up" else 1)

    def started(told: Started) -> None:
        _tell(mode, told)

    helper = None
    if local_model:
        from gateway import local_model as model

        problem = model.missing()
        if problem is not None:
            print(f"optyx: {problem}", file=sys.stderr)
            raise typer.Exit(2)
        _say("Loading the local model (a few seconds) …")
        helper = [sys.executable, "-m", "gateway.local_model"]
    supervisor = Supervisor(config, mode, count, _say, helper)  # type: ignore[arg-type]  # one of the three modes
    try:
        status = supervisor.run(started)
    except StartError as error:
        print(f"optyx: {error}", file=sys.stderr)
        raise typer.Exit(error.status) from None
    raise typer.Exit(status)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _tell(mode: str, started: object) -> None:
    from gateway.supervise import Started

    assert isinstance(started, Started)
    url = started.url
    lines = [f"Optyx serves {url}   (Ctrl-C stops all of it)"]
    if mode != "serve":
        lines.append(
            f"Admin token: in {started.admin_credentials} ({_command('optyx')} and {_command('optyx-tui')} find it there)"
        )
    if mode == "demo":
        lines += _demo_lines(url, started.project_key)
    elif mode == "up" and not started.has_provider:
        lines.append(
            "No provider is configured: set OPENAI_API_KEY, GOOGLE_API_KEY or ANTHROPIC_API_KEY (or put them into .env) and start again."
        )
    print("\n".join(lines), flush=True)


def _command(name: str) -> str:
    """How this shell can call one of our commands: by its name, or by the path of the environment that runs now."""
    if shutil.which(name):
        return name
    path = Path(sys.executable).parent / name
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _demo_lines(url: str, key: str | None) -> list[str]:
    another = f"{_command('optyx')} keys create --project default --name NAME"
    if key is not None:
        lines = [f"Project key: {key}   (shown once; make another with: {another})"]
    else:
        lines = [f"Project key: yours from the first start; its data is kept. Make another with: {another}"]
        key = "$OPTYX_API_KEY"
    lines += [f"Dashboard:   {_command('optyx-tui')}   (in another terminal)", ""]
    head = (
        f"-H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'"
        if not key.startswith("$")
        else (f"-H \"Authorization: Bearer {key}\" -H 'Content-Type: application/json'")
    )
    message = '"messages":[{"role":"user","content":"Hello"}]'
    return [
        *lines,
        f"curl {url}/v1/chat/completions {head} -d '{{{message},\"max_tokens\":64}}'",
        "",
        f'curl -N {url}/v1/chat/completions {head} -d \'{{{message},"max_tokens":64,"stream":true}}\'',
        "",
        f'curl {url}/v1/embeddings {head} -d \'{{"input":["one","two"]}}\'',
    ]
