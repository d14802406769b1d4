"""`optyx chat`, `quickstart`, `env`, `run`: calls through the gateway, and programs that make them."""

from __future__ import annotations

import os
import shlex
import sys
import time
from typing import Annotated, Any

import typer

from tui import figures
from tui.faults import Fault, usage
from tui.invocation import Invocation, current, path_of

chat = typer.Typer()
quickstart = typer.Typer()
env = typer.Typer()
run = typer.Typer()

Key = Annotated[str, typer.Option("--key", "-k", help="- : from stdin; @FILE: from a file; left out: OPTYX_API_KEY.")]


@chat.command()
def chat_command(
    prompt: Annotated[str, typer.Argument(metavar="[PROMPT]", help="Left out: stdin.")] = "",
    model: Annotated[
        str, typer.Option("--model", "-m", help="A model or a tier; left out: the project's default.")
    ] = "",
    key: Key = "",
    system: Annotated[str, typer.Option("--system", help="What it is told first.")] = "",
    no_stream: Annotated[bool, typer.Option("--no-stream", help="The answer at once.")] = False,
    meter: Annotated[bool, typer.Option("--meter", help="Tokens, cost and times on stderr afterwards.")] = False,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=1)] = None,
) -> None:
    """Ask, and see the answer as it comes. A real call: logged and priced."""
    from tui.chatting import key_from, prompt_from_stdin

    at = current()
    secret = key_from(at, key)
    text = prompt or prompt_from_stdin()
    if not text.strip():
        raise usage("what is to be asked?", "optyx chat 'Hello', or the prompt on stdin")
    body: dict[str, Any] = {
        "messages": [*([{"role": "system", "content": system}] if system else []), {"role": "user", "content": text}]
    }
    for name, value in (("model", model), ("max_tokens", max_tokens)):
        if value:
            body[name] = value
    ask(at, body, secret, no_stream or not at.out.is_for_people, meter)


def ask(at: Invocation, body: dict[str, Any], secret: str, at_once: bool, meter: bool) -> None:
    from tui import chatting

    began, first_s = time.monotonic(), None
    if at_once:
        import json

        answer = chatting.posted(at, "/v1/chat/completions", json.dumps(body).encode(), secret)
        if at.out.is_for_people:
            at.out.text(answer.body["choices"][0]["message"]["content"] or "")
        else:
            at.out.write(chatting.document(answer))
        if meter:
            at.done(chatting.meter(at, answer.request_id, None, time.monotonic() - began))
        return
    streamed = chatting.Streamed(at, {**body, "stream": True}, secret)
    from tui.safe import visible_lines

    for piece in streamed:
        if piece and first_s is None:
            first_s = time.monotonic() - began
        sys.stdout.write(visible_lines(piece) if at.out.is_terminal else piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    if meter:
        whole_s = time.monotonic() - began
        at.done(chatting.meter(at, streamed.headers.get("x-request-id", ""), first_s, whole_s))


@quickstart.command()
def quickstart_command(
    key_name: Annotated[str, typer.Option("--key-name", help="Of the key that is made.")] = "quickstart",
) -> None:
    """From nothing to an answer: is a gateway there, a project, a key, a real call, and what to do next. Prints the key."""
    at = current()
    version = at.get("/health").get("version")
    at.done(f"1. The gateway {at.place.url} answers (version {version}).")
    who = at.get("/whoami")
    at.done(f"2. You are {who['name']}, {who['role']}.")
    project = at.project or _any_project(at)
    at.done(f"3. The project {project}.")
    made = at.change("POST", path_of("projects", project, "keys"), {"name": key_name}).body
    from tui.handing import hand_over

    hand_over(at, made, "", False, "raw")
    at.done("4. A call with it:")
    try:
        said = _first_words(at, str(made["key"]))
    except Fault as fault:
        raise Fault(
            f"the key works, and the call did not: {fault.message}",
            exit=fault.exit,
            code=fault.code,
            hint=fault.hint or "optyx doctor",
            status=fault.status,
        ) from None
    at.done(f"   {said}")
    at.done(f"5. Next: export OPENAI_BASE_URL={at.place.url}/v1 OPENAI_API_KEY=…;  optyx logs;  optyx-tui")


def _any_project(at: Invocation) -> str:
    there = at.rows("/projects", limit=50)
    names = [one["slug"] for one in there if one["status"] == "active"]
    if names:
        return "default" if "default" in names else str(names[0])
    return str(at.change("POST", "/projects", {"name": "Default"}).body["slug"])


def _first_words(at: Invocation, secret: str) -> str:
    import json

    from tui.chatting import posted

    body = {"messages": [{"role": "user", "content": "Say hello in five words."}], "max_tokens": 64}
    answer = posted(at, "/v1/chat/completions", json.dumps(body).encode(), secret).body
    tokens = (answer.get("usage") or {}).get("total_tokens")
    return f"{answer['choices'][0]['message']['content']}  ({answer.get('model')}, {figures.count(tokens)} tokens)"


SHELLS = ("bash", "zsh", "fish", "pwsh", "dotenv")


def variables(at: Invocation, key: str) -> dict[str, str]:
    """What an OpenAI client needs: the address and one key, and nothing of ours."""
    from tui.chatting import key_from

    return {"OPENAI_BASE_URL": f"{at.place.url}/v1", "OPENAI_API_KEY": key_from(at, key)}


@env.command()
def env_command(
    shell: Annotated[str, typer.Option("--shell", help="bash, zsh, fish, pwsh or dotenv.")] = "bash", key: Key = ""
) -> None:
    """Lines that make OpenAI clients of this shell use the gateway: eval "$(optyx env)"."""
    at = current()
    if shell not in SHELLS:
        raise usage(f"--shell {shell}: it is {', '.join(SHELLS)}")
    for name, value in variables(at, key).items():
        quoted = shlex.quote(value)
        forms = {"fish": f"set -gx {name} {quoted}", "pwsh": f"$env:{name} = '{value}'", "dotenv": f"{name}={value}"}
        at.out.write(forms.get(shell, f"export {name}={quoted}"))


OURS = ("OPTYX_ADMIN_TOKEN", "OPTYX_TOKEN", "OPTYX_TOKEN_FILE", "OPTYX_API_KEY", "OPTYX_SECRET_KEY")


@run.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run_command(command: Annotated[list[str], typer.Argument(metavar="-- COMMAND…")], key: Key = "") -> None:
    """Run a program with the gateway's address and one key in its environment; admin tokens are taken out of it."""
    at = current()
    given = {name: value for name, value in os.environ.items() if name not in OURS}
    given |= variables(at, key)
    try:
        os.execvpe(command[0], command, given)
    except OSError as error:
        raise Fault(
            f"{command[0]}: {error.strerror}", exit=127 if isinstance(error, FileNotFoundError) else 126, code="not_run"
        ) from None
