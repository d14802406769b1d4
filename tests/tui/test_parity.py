"""Everything the dashboard does, the command line does: each action's CLI form names a command and options that exist."""

from __future__ import annotations

import re

import pytest
from typer.main import get_command

from tui import cli
from tui.flags import SWITCHES, WITH_VALUE
from tui.keys import ACTIONS, cli_form
from tui.tree import build

TREE = get_command(build(cli.COMMANDS, list(cli.COMMANDS)))
FORMS = [action for action in ACTIONS if action.cli.startswith("optyx ")]


@pytest.mark.parametrize("action", FORMS, ids=[action.id for action in FORMS])
def test_an_action_s_cli_form_can_be_typed(action):
    words = action.cli.split()[1:]
    command = TREE
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert command is not TREE, f"there is no command {action.cli!r}"
    assert not getattr(command, "commands", None), f"{action.cli!r} stops at a group of {', '.join(command.commands)}"
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        if re.match(r"--?[a-z]", word):
            assert word in known or word in WITH_VALUE or word in SWITCHES, f"{action.cli!r}: there is no {word}"


def test_every_action_that_changes_something_has_a_cli_form():
    assert not [action.id for action in ACTIONS if action.writes and not action.cli]


def test_a_form_is_written_for_the_object_in_sight():
    assert cli_form("optyx keys rotate {key} --grace 24h", {"key": "key_7"}) == "optyx keys rotate key_7 --grace 24h"
    assert cli_form("optyx keys list -p {project}", {"project": "two words"}) == "optyx keys list -p 'two words'"
    assert cli_form("optyx keys rotate {key}", {}) == "optyx keys rotate KEY"
