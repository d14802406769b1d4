"""The command tree: imports only the module of the command that was asked for, and turns every end of a command into an exit status."""

from __future__ import annotations

import difflib
import importlib
import json
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tui import contexts, ending, faults
from tui.faults import Fault, usage
from tui.flags import HELP, NOT_FOR, Flags, parsed

if TYPE_CHECKING:
    import typer

Places = Mapping[str, tuple[str, str]]

WHAT = "Optyx: one OpenAI-compatible endpoint in front of several providers, run from the terminal."
VERBS = {"ls": "list", "rm": "remove", "new": "create", "show": "get"}
REMOVALS = {"keys": "revoke", "projects": "delete"}


def build(places: Places, names: list[str]) -> typer.Typer:
    """The application with the commands of these names."""
    import typer

    from tui.coercing import HELP_NAMES

    app = typer.Typer(
        name="optyx",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help=WHAT,
        epilog="\b\n" + HELP,
        context_settings={"help_option_names": HELP_NAMES, "max_content_width": 110},
    )

    @app.callback()
    def root() -> None:
        """Without a callback a tree of one command would lose that command's name."""

    for name in names:
        _add(app, name, places[name])
    return app


def _add(app: typer.Typer, name: str, place: tuple[str, str]) -> None:
    part: typer.Typer = getattr(importlib.import_module(place[0]), place[1])
    if len(part.registered_commands) == 1 and part.registered_commands[0].name is None and not part.registered_groups:
        only = part.registered_commands[0]
        assert only.callback is not None
        app.command(name, context_settings=only.context_settings)(only.callback)
    else:
        app.add_typer(part, name=name)


def resolved(places: Places, words: list[str], defaults: Mapping[str, str]) -> list[str]:
    """The words with nouns and verbs as they are declared: singular nouns, `ls rm new`, and what a bare noun means. Raises Fault."""
    if not words or words[0].startswith("-"):
        return words
    noun = words[0] if words[0] in places else words[0] + "s"
    if noun not in places:
        near = difflib.get_close_matches(words[0], places, 1)
        raise usage(
            f"there is no command {words[0]!r}", f"did you mean {near[0]}?" if near else "optyx --help lists them"
        )
    rest = words[1:]
    if rest and rest[0] in VERBS and noun in defaults:
        rest[0] = REMOVALS.get(noun, "remove") if rest[0] == "rm" else VERBS[rest[0]]
    wants_help = bool({"-h", "--help"} & set(rest[:1]))
    if (
        noun in defaults
        and not wants_help
        and (not rest or rest[0].startswith("-") or re.match(r"-?\w+:|/|req_", rest[0]))
    ):
        rest = [defaults[noun], *rest]
    return [noun, *rest]


def run(places: Places, defaults: Mapping[str, str]) -> int:
    """Runs the command line; returns the exit status."""
    flags = Flags()
    try:
        words = sys.argv[1:]
        if not (words and words[0] in NOT_FOR):
            contexts.read_dotenv()
            flags, words = parsed(words, defaults=contexts.defaults())
        status = _run(places, resolved(places, words, defaults), flags)
        sys.stdout.flush()  # what it can't take is told below, in the form that was asked for
        return status
    except Fault as fault:
        tell(fault, flags)
        return fault.exit
    except KeyboardInterrupt:
        return faults.INTERRUPTED
    except BrokenPipeError:
        return faults.PIPE_CLOSED
    except OSError as error:
        ending.discard(sys.stdout)
        tell(Fault(ending.named(error), code="os_error"), flags)
        return faults.FAILED


def _run(places: Places, words: list[str], flags: Flags) -> int:
    import typer
    from typer.main import get_command

    from tui.coercing import lighten
    from tui.invocation import begin, end

    asked = [words[0]] if words and words[0] in places else list(places)
    begin(flags)
    command = get_command(build(places, asked))
    lighten(command)

    def once() -> None:
        """Not command.main(): that would turn a closed pipe into a failure."""
        with command.make_context("optyx", list(words)) as context:
            command.invoke(context)

    try:
        if flags.watch_s is None:
            once()
        else:
            from tui.watching import watch

            watch(once, words, flags, flags.watch_s)
    except typer.Exit as leave:
        return leave.exit_code
    except typer.TyperException as error:
        text = error.format_message()
        if text.startswith("Usage:"):  # a noun without its verb: the help is the answer, and nothing was done
            print(text, file=sys.stderr)
            return faults.USAGE
        path = getattr(getattr(error, "ctx", None), "command_path", "optyx")
        raise usage(text[:1].lower() + text[1:].rstrip("."), f"{path} --help") from None
    except typer.Abort:
        return faults.INTERRUPTED
    finally:
        end()
    return 0


def tell(fault: Fault, flags: Flags) -> None:
    """One line and a hint; the envelope where JSON was asked for. Always on stderr."""
    from tui.output import say

    if flags.output in ("json", "ndjson"):
        ending.tell(json.dumps(fault.envelope()))
        return
    say(f"optyx: error: {fault.message}" + (f" [{fault.request_id}]" if fault.request_id else ""), flags)
    if fault.hint:
        say(f"hint: {fault.hint}", flags)
