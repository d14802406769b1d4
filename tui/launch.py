"""`optyx-tui`: looks at the terminal, paints a first frame, and only then imports Textual.

Until that frame stands nothing is imported but what Python has loaded already. Textual reads its own variables when it is imported, so
they are set here.
"""

from __future__ import annotations

import os
import sys

from tui.ending import ended
from tui.main_screens import SCREENS
from tui.skeleton import frame
from tui.terminal import Question, was_light

TYPE_CHECKING = False  # `typing` alone takes as long to import as everything else here together
if TYPE_CHECKING:
    from typing import NoReturn

USAGE = """usage: optyx-tui [SCREEN] [FILTER…] [options]

The dashboard of a running gateway. SCREEN: overview, logs, projects, keys, providers, limits, playground, audit.

  -c, --context NAME   which gateway (OPTYX_CONTEXT); default: the credentials that `optyx up` or `optyx demo` wrote
  --theme NAME         optyx-dark, optyx-light, contrast, blue-orange, cyan-red, mono, ansi (OPTYX_THEME)
  --readonly           nothing can be changed
  --plain              lines and numbered menus instead of a full screen (OPTYX_ACCESSIBLE=1)
  --print-keys         every action with its key, then end
  --version, --help

Keys can be changed in ~/.config/optyx/keys.toml. Press ? inside for what a screen shows and what its keys do."""

LEAST = (60, 16)


class Options:
    """What the command line said."""

    def __init__(self) -> None:
        self.context: str | None = None
        self.theme: str | None = None
        self.readonly = False
        self.plain = os.environ.get("OPTYX_ACCESSIBLE", "") not in ("", "0")
        self.print_keys = False
        self.screen = "overview"
        self.filter = ""


class UsageError(Exception):
    pass


def parsed(arguments: list[str]) -> Options:
    """Raises UsageError with one line that says what to write instead."""
    options = Options()
    rest: list[str] = []
    queue = list(arguments)
    while queue:
        word = queue.pop(0)
        name, equals, value = word.partition("=")
        if name in ("-c", "--context", "--theme"):
            if not equals:
                if not queue:
                    raise UsageError(f"{name} needs a value")
                value = queue.pop(0)
            setattr(options, "theme" if name == "--theme" else "context", value)
        elif word in ("--readonly", "--plain", "--print-keys"):
            setattr(options, word[2:].replace("-", "_"), True)
        elif word.startswith("--") or (word.startswith("-") and ":" not in word):
            raise UsageError(f"there is no option {word}; optyx-tui --help lists them")
        else:
            rest.append(word)
    _take_place(options, rest)
    return options


def _take_place(options: Options, words: list[str]) -> None:
    names = [name for name, _, _ in SCREENS]
    if words and ":" not in words[0]:
        if words[0] not in names:
            raise UsageError(f"there is no screen {words[0]!r}; they are {', '.join(names)}")
        options.screen = words.pop(0)
    if words:
        options.filter = " ".join(words)
        options.screen = "logs" if options.screen == "overview" else options.screen


def main() -> None:
    sys.exit(ended(_main, "optyx-tui"))


def _main() -> int:
    arguments = sys.argv[1:]
    if "--version" in arguments:
        from importlib.metadata import version

        print(f"optyx-tui {version('optyx')}")
        return 0
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)
        return 0
    try:
        options = parsed(arguments)
    except UsageError as error:
        refuse(str(error))
    if options.print_keys:
        _print_keys()
        return 0
    if options.plain:
        from tui.plain import run_plain

        return run_plain(options)
    _check_terminal()
    prepare_environment()
    question = Question(signs=has_utf8())
    try:
        paint(options, question)
        from tui.start import run
    finally:
        heard = question.end()
    return run(options, heard)


def refuse(message: str) -> NoReturn:
    """One line on stderr; exit code 2, as for every mistake in the command line."""
    sys.stderr.write(f"optyx-tui: error: {message}\n")
    raise SystemExit(2)


def _print_keys() -> None:
    from tui.keys import KeymapError, listing, read_keymap

    try:
        print(listing(read_keymap()))
    except KeymapError as error:
        refuse(str(error))


def _check_terminal() -> None:
    for stream, name in ((sys.stdin, "stdin"), (sys.stdout, "stdout"), (sys.stderr, "stderr")):
        if not stream.isatty():
            refuse(f"{name} is not a terminal; use the CLI (optyx --help) or optyx-tui --plain")
    if os.environ.get("TERM") == "dumb":
        refuse("TERM is dumb: this terminal can't move the cursor; use optyx-tui --plain")


def prepare_environment() -> None:
    """`ESCDELAY`: a lone escape is known after 25 ms instead of 100. 60 frames a second: what a key did waits for the next. Fewer over SSH."""
    is_remote = bool(os.environ.get("SSH_TTY"))
    os.environ.setdefault("ESCDELAY", "25")
    os.environ["TEXTUAL_ANIMATIONS"] = "none"
    os.environ.setdefault("TEXTUAL_FPS", "15" if is_remote else "60")
    if is_remote or os.environ.get("OPTYX_REDUCED_MOTION"):
        os.environ["TEXTUAL_SMOOTH_SCROLL"] = "0"
    os.environ.setdefault("TEXTUAL_COLOR_SYSTEM", "auto")


def has_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8" and not os.environ.get("OPTYX_ASCII")


def paint(options: Options, question: Question) -> None:
    width, height = os.get_terminal_size(sys.stdout.fileno())
    if width < LEAST[0] or height < LEAST[1]:
        return  # the app itself says that it needs more room
    theme = options.theme or os.environ.get("OPTYX_THEME") or ("" if was_light() else "optyx-dark")
    coloured = theme == "optyx-dark" and not os.environ.get("NO_COLOR")
    text = frame(
        width, height, options.context or "gateway", colour=coloured, ascii_only=not has_utf8(), ask=question.begin()
    )
    os.write(sys.stdout.fileno(), text.encode("utf-8" if has_utf8() else "ascii", "replace"))


if __name__ == "__main__":
    main()
