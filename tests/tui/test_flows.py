"""What an operator does, key by key, on a scripted gateway: every change is asked about, can be undone where that is promised, and is told."""

from __future__ import annotations

import time

import pytest
from textual import events

from tests.tui.fake_changes import SECRET
from tests.tui.fake_gateway import FakeGateway
from tests.tui.stage import SMALL, WIDE, screen_text, settled, stage, until
from tui.location import Location
from tui.widgets.dialogs import Confirm
from tui.widgets.panel import Painted

KEYS = Location("keys", project="acme")


@pytest.fixture
def gateway():
    with FakeGateway() as fake:
        yield fake


def asked(fake, method, ending):
    return [body for made, path, _, body in fake.seen if made == method and path.endswith(ending)]


async def said(app, pilot, text):
    await until(lambda: any(text in one[1] for one in app.notices.said), pilot)


async def armed(app, pilot):
    """A confirmation is on screen and takes Y."""
    await until(lambda: isinstance(app.screen, Confirm), pilot)
    app.screen.quiet_since = time.monotonic() - 1


async def typed(pilot, text):
    await pilot.press(*({" ": "space", "-": "minus", ":": "colon"}.get(one, one) for one in text))


async def test_a_key_is_disabled_by_Y_alone_and_comes_back_with_u(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("j", "d")
        await armed(app, pilot)
        assert "It made 212," in screen_text(app)
        await pilot.press("Y")
        await said(app, pilot, "Disabled ci-deploy. u undoes.")
        assert "Undo: disabled ci-deploy" in screen_text(app)
        await until(lambda: gateway.keys["acme"][1].status == "disabled")
        await pilot.press("u")
        await said(app, pilot, "Undone")
        assert gateway.keys["acme"][1].status == "active"


@pytest.mark.parametrize("key", ["d", "enter", "escape", "n", "y"])
async def test_no_other_key_confirms(gateway, key):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("d")
        await armed(app, pilot)
        await pilot.press(key)
        await said(app, pilot, "Cancelled: nothing was changed.")
        assert not asked(gateway, "POST", "/disable")


async def test_what_is_typed_into_the_wrong_window_never_confirms(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("d")
        await until(lambda: isinstance(app.screen, Confirm), pilot)
        app.screen.quiet_since = time.monotonic()
        await pilot.press("Y")
        assert isinstance(app.screen, Confirm), "not armed yet: the key before came a moment ago"
        await pilot.press("N")
        assert not asked(gateway, "POST", "/disable")


async def test_many_are_changed_at_once_with_their_names_and_undone_together(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("space", "space", "d")
        await armed(app, pilot)
        assert "Disable web-prod, ci-deploy?" in screen_text(app)
        await pilot.press("Y")
        await said(app, pilot, "Disabled web-prod, ci-deploy.")
        await pilot.press("u")
        await said(app, pilot, "Undone")
        assert [one.status for one in gateway.keys["acme"][:2]] == ["active", "active"]
        assert len(gateway.undone) == 2


async def test_what_failed_of_many_is_named(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        gateway.refused_keys = {"key_ci-deploy"}
        await pilot.press("space", "space", "d")
        await armed(app, pilot)
        await pilot.press("Y")
        await said(app, pilot, "1 of 2 disabled. 1 failed: ci-deploy (409 conflict).")


async def test_revoking_wants_the_name(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("j", "x")
        await pilot.pause()
        await typed(pilot, "ci-deplo")
        await pilot.press("enter")
        assert not asked(gateway, "DELETE", "/key_ci-deploy")
        await pilot.press("y", "enter")
        await said(app, pilot, "Revoked ci-deploy.")
        assert "Undo:" not in screen_text(app)


async def test_a_new_key_is_shown_once_and_forgotten(gateway, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("n")
        await pilot.pause()
        await typed(pilot, "ci")
        await pilot.press("ctrl+s")
        await until(lambda: SECRET in screen_text(app), pilot)
        await pilot.press("h")
        assert SECRET not in screen_text(app)
        await pilot.press("t")
        await until(lambda: "● GET /v1/models 200" in screen_text(app), pilot)
        await pilot.press("escape")
        assert "Not copied yet" in screen_text(app)
        await pilot.press("w")
        file = tmp_path / "acme-ci.key"
        assert file.read_text() == SECRET + "\n"
        assert file.stat().st_mode & 0o777 == 0o600
        await pilot.press("escape")
        await settled(app, pilot)
        assert SECRET not in screen_text(app)
        assert all(SECRET not in str(vars(widget)) for widget in app.query("*"))
        assert app.secrets_open == 0
        assert asked(gateway, "POST", "/keys")[0]["name"] == "ci"


async def test_rotating_asks_how_long_the_old_secret_works(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("r")
        await pilot.pause()
        assert "Old secret works for" in screen_text(app)
        await pilot.press("right", "ctrl+s")
        await until(lambda: SECRET in screen_text(app), pilot)
        assert asked(gateway, "POST", "/rotate") == [{"grace_s": 259_200}]
        await pilot.press("escape", "escape")


async def test_settings_are_previewed_confirmed_and_saved(gateway):
    async with stage(gateway, WIDE, Location("settings", project="acme")) as (app, pilot):
        form = app.view.form
        form.set_value("patterns", "")
        await until(lambda: "would be" in screen_text(app) and "212,140" in screen_text(app), pilot)
        await pilot.press("ctrl+s")
        await armed(app, pilot)
        assert "Save v42 of acme?" in screen_text(app)
        await pilot.press("Y")
        await said(app, pilot, "Saved the settings of acme. u undoes.")
        assert gateway.settings.allowed_models == ["gemini-4-argon"]


async def test_a_mistake_blocks_saving_and_is_gone_to(gateway):
    async with stage(gateway, WIDE, Location("settings", project="acme")) as (app, pilot):
        app.view.form.set_value("tier:fast", "gpt-6-luna")
        await pilot.pause()
        await pilot.press("ctrl+s")
        assert "write provider/model" in screen_text(app)
        assert app.view.form.current.name == "tier:fast"
        assert not asked(gateway, "PATCH", "/settings")


async def test_two_people_saving_lose_nothing(gateway):
    async with stage(gateway, WIDE, Location("settings", project="acme")) as (app, pilot):
        app.view.form.set_value("failover", "off")
        gateway.settings.version, gateway.settings.updated_by, gateway.settings.capture = 42, "omar", True
        await until(lambda: app.view.preview is not None, pilot)
        await pilot.press("ctrl+s")
        await armed(app, pilot)
        await pilot.press("Y")
        await until(lambda: "omar saved version 42" in screen_text(app), pilot)
        await pilot.press("ctrl+s")
        await until(lambda: gateway.settings.version == 43, pilot)
        assert gateway.settings.failover is False
        assert gateway.settings.capture is True, "theirs stays"
        await said(app, pilot, "Saved")


async def test_leaving_a_changed_form_asks(gateway):
    async with stage(gateway, WIDE, Location("projects")) as (app, pilot):
        await pilot.press("s")
        await until(lambda: app.history.here.screen == "settings" and bool(app.view.form.items), pilot)
        app.view.form.set_value("failover", "off")
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, Confirm), pilot)
        assert "Leave without saving?" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert app.view.form.value("failover") == "off"


async def test_a_filter_is_part_of_the_place(gateway):
    async with stage(gateway, WIDE, Location("logs")) as (app, pilot):
        await pilot.press("slash")
        await typed(pilot, "project:acme")
        await pilot.press("enter")
        await until(lambda: "page" not in app.view.waiting and app.view.shown_filter == "project:acme", pilot)
        await settled(app, pilot)
        await pilot.press("up", "enter")
        await until(lambda: app.history.here.screen == "detail", pilot)
        first = app.history.here.object
        await pilot.press("p")
        await pilot.pause()
        assert app.history.here.object != first
        await pilot.press("escape")
        await until(lambda: app.history.here.screen == "logs", pilot)
        assert app.history.here.filter == "project:acme"
        assert "project:acme" in screen_text(app)
        await pilot.press("5", "less_than_sign")
        await until(lambda: app.history.here.screen == "logs", pilot)
        assert app.history.here.filter == "project:acme"
        await pilot.press("greater_than_sign")
        await until(lambda: app.history.here.screen == "providers", pilot)
        await pilot.press("minus")
        await until(lambda: app.history.here.screen == "logs", pilot)


async def test_a_command_goes_places_and_an_unknown_one_is_answered_with_the_nearest(gateway):
    async with stage(gateway, WIDE, Location("projects")) as (app, pilot):
        await pilot.press("colon")
        await typed(pilot, "kesy")
        await pilot.press("enter")
        await said(app, pilot, "Did you mean :keys?")
        await pilot.press("colon")
        await typed(pilot, "keys rese")
        await pilot.pause(0.05)
        await pilot.press("tab", "enter")
        await until(lambda: app.history.here.project == "research", pilot)


async def test_a_view_is_saved_and_found_again(gateway, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    async with stage(gateway, WIDE, Location("logs", filter="status:5xx")) as (app, pilot):
        await pilot.press("colon")
        await typed(pilot, "save broken")
        await pilot.press("enter", "1")
        await until(lambda: app.history.here.screen == "overview", pilot)
        await pilot.press("colon")
        await typed(pilot, "view broken")
        await pilot.press("enter")
        await until(lambda: app.history.here == Location("logs", filter="status:5xx"), pilot)


async def test_the_palette_finds_by_letters_and_shows_the_cli_form_of_what_is_in_sight(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("j", "ctrl+p")
        await pilot.pause()
        await typed(pilot, "grace")
        await pilot.pause()
        assert "optyx keys rotate key_ci-deploy --grace 24h" in screen_text(app)
        await pilot.press("enter")
        await until(lambda: "Rotate ci-deploy" in screen_text(app), pilot)
        await pilot.press("escape", "ctrl+p")
        await pilot.pause()
        await typed(pilot, "keys of resea")
        await pilot.press("enter")
        await until(lambda: app.history.here.project == "research", pilot)


async def test_a_read_only_session_changes_nothing_and_offers_nothing(gateway):
    async with stage(gateway, WIDE, KEYS, readonly=True) as (app, pilot):
        assert "read-only" in screen_text(app)
        assert "revoke" not in screen_text(app).split("\n")[-1]
        await pilot.press("d")
        await armed(app, pilot)
        await pilot.press("Y")
        await said(app, pilot, "Held: this session is read-only.")
        assert not asked(gateway, "POST", "/disable")


async def test_a_viewer_is_told_so(gateway):
    gateway.role = "viewer"
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await until(lambda: "viewer: no changes" in screen_text(app), pilot)
        assert "revoke" not in screen_text(app).split("\n")[-1]


async def test_a_protected_context_is_marked_everywhere(gateway):
    async with stage(gateway, WIDE, KEYS, guarded=True) as (app, pilot):
        assert " PROD " in screen_text(app).split("\n")[0]
        await pilot.press("d")
        await until(lambda: isinstance(app.screen, Confirm), pilot)
        assert "this context is protected" in screen_text(app)
        await pilot.press("escape")


async def test_a_change_is_held_while_the_gateway_is_away_and_panels_show_their_age(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        gateway.__exit__()
        app.action_refresh_now()
        await until(lambda: app.link.state == "offline", pilot)
        app.pulse.beat()
        await pilot.pause()
        assert "STALE" in screen_text(app)
        await pilot.press("d")
        await armed(app, pilot)
        await pilot.press("Y")
        await said(app, pilot, "Held: the gateway is away. Not sent.")


async def test_the_playground_streams_measures_and_says_what_it_cost(gateway):
    async with stage(gateway, WIDE, Location("playground")) as (app, pilot):
        await until(lambda: bool(app.view.form.items), pilot)
        await typed(pilot, "why")
        await pilot.press("ctrl+r")
        await until(lambda: "provider has recovered." in screen_text(app), pilot)
        await until(lambda: app.view.runs[0].done, pilot)
        text = screen_text(app)
        assert "tok/s" in text
        assert "req_play0001" in text
        assert SECRET not in text
        assert asked(gateway, "POST", "/chat/completions")[0]["messages"] == [{"role": "user", "content": "why"}]


async def test_following_stops_when_one_moves_and_nothing_moves_then(gateway):
    gateway.rate = 200
    async with stage(gateway, WIDE, Location("logs")) as (app, pilot):
        await until(lambda: app.view.calls.ring.added > 320, pilot)
        await pilot.press("up")
        await pilot.pause()
        rows = screen_text(app).split("\n")[5:18]
        await until(lambda: app.view.calls.waiting > 20, pilot)
        assert screen_text(app).split("\n")[5:18] == rows
        assert "PAUSED +" in screen_text(app)
        await pilot.press("G")
        await until(lambda: "FOLLOWING" in screen_text(app), pilot)


async def test_times_can_be_absolute(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        assert "3 s ago" in screen_text(app)
        await pilot.press("T")
        await pilot.pause()
        assert "12:04:28" in screen_text(app)
        await pilot.press("T")


async def test_columns_can_be_left_out(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        assert "PUBLIC ID" in screen_text(app)
        await pilot.press("C", "down", "space", "escape")
        await pilot.pause()
        assert "PUBLIC ID" not in screen_text(app)


async def test_a_list_is_written_once_and_never_over_a_file(gateway, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("E", "ctrl+s")
        await said(app, pilot, "Wrote 7 records")
        assert (tmp_path / "keys.csv").read_text().startswith("id,name,")
        await pilot.press("E", "ctrl+s")
        await said(app, pilot, "exists already")


async def test_a_resize_keeps_the_cursor_and_redraws(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("j", "j")
        for size in ((80, 24), (52, 14), (160, 50), (60, 16), (120, 36)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        assert app.view.rows.current.name == "nb-lena"
        assert all(widget.size.width <= 120 for widget in app.query(Painted))


async def test_bodies_are_opened_by_their_tab_and_not_before(gateway):
    """Each look at them is an entry of the audit."""
    ident = "req_000000000004"
    async with stage(gateway, WIDE, Location("detail", object=ident)) as (app, pilot):
        await until(lambda: ident in screen_text(app), pilot)
        queries = [query for _, path, query, _ in gateway.seen if path.endswith(f"/logs/{ident}")]
        assert [query["bodies"] for query in queries] == ["false"]
        await pilot.press("2")
        await until(lambda: "capture is off for this project" in screen_text(app), pilot)
        await pilot.press("3")
        await until(lambda: "capture is off for this project" in screen_text(app), pilot)
        queries = [query for _, path, query, _ in gateway.seen if path.endswith(f"/logs/{ident}")]
        assert [query["bodies"] for query in queries] == ["false", "true"]


async def test_a_slash_finds_a_model_of_the_catalog_in_the_form(gateway):
    async with stage(gateway, WIDE, Location("settings", project="acme")) as (app, pilot):
        await pilot.press("slash")
        await typed(pilot, "embedding")
        await pilot.pause()
        text = screen_text(app)
        assert "[ ] gemini-embedding-001" in text
        assert "[ ] gpt-6.1-sol" not in text
        await pilot.press("escape")
        await pilot.pause()
        assert "[ ] gpt-6.1-sol" in screen_text(app)


def arrive_together(app, text):
    """Keys as they come over a slow line: in one piece."""
    for character in text:
        key = {"/": "slash", ":": "colon", " ": "space", "\r": "enter"}.get(character, character)
        app.post_message(events.Key(key, character))


async def test_keys_that_come_in_one_piece_go_where_they_were_meant_to(gateway):
    async with stage(gateway, WIDE, Location("projects")) as (app, pilot):
        arrive_together(app, "/rese\r")
        await until(lambda: app.history.here.filter == "rese", pilot)
        assert app.history.here.screen == "projects", "r, s and e are keys of the list"
        arrive_together(app, ":keys acme\rnsecond")
        await until(lambda: "second" in screen_text(app), pilot)
        assert app.history.here == Location("keys", project="acme")
        await pilot.press("escape")
        arrive_together(app, "3nthird")
        await until(lambda: "New project" in screen_text(app) and "third" in screen_text(app), pilot)
        await pilot.press("escape")


async def test_a_new_keys_dialog_says_itself_what_went_wrong_and_offers_its_own_keys_alone(
    gateway, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme-ci.key").write_text("another")
    async with stage(gateway, SMALL, KEYS) as (app, pilot):
        arrive_together(app, "nci\r\r\r\r\r")
        await until(lambda: SECRET in screen_text(app), pilot)
        foot = screen_text(app).split("\n")[-2:]
        assert "no screenshot, log or crash report has it" in foot[0]
        assert "w file" in foot[1]
        assert "revoke" not in foot[1]
        await pilot.press("w")
        await pilot.pause()
        assert "✖ Not written: File exists" in screen_text(app)
        await pilot.press("p")
        await until(lambda: app.history.here == Location("playground", project="acme"), pilot)
        await until(lambda: app.view.form.items and app.view.form.value("secret") == SECRET, pilot)
        await settled(app, pilot)
        assert SECRET not in screen_text(app), "the field is dots"
        await typed(pilot, "why")
        await pilot.press("ctrl+r")
        await until(lambda: app.view.runs and app.view.runs[0].done, pilot)


async def test_a_model_that_is_picked_while_all_are_allowed_is_the_only_one_then(gateway):
    gateway.settings.allowed_models = None
    async with stage(gateway, WIDE, Location("settings", project="acme")) as (app, pilot):
        form = app.view.form
        name = next(item.name for item in form.items if item.kind == "check" and not item.hidden)
        form.go_to(name)
        await pilot.press("space")
        await until(lambda: form.value("mode") == "only listed", pilot)
        assert app.view.changes() == {"allowed_models": [name.removeprefix("model:")]}


async def test_an_old_version_says_what_it_would_bring_back(gateway):
    async with stage(gateway, WIDE, Location("settings", project="acme")) as (app, pilot):
        await pilot.press("R", "enter")
        await until(lambda: isinstance(app.screen, Confirm), pilot)
        assert "allowed_models: " in screen_text(app)
        assert "→ gemini-4-argon" in screen_text(app)
        await pilot.press("escape")


async def test_in_a_protected_context_settings_are_saved_by_the_projects_name(gateway):
    async with stage(gateway, WIDE, Location("settings", project="acme"), guarded=True) as (app, pilot):
        app.view.form.set_value("failover", "off")
        await pilot.press("ctrl+s")
        await until(lambda: "The context prod is protected." in screen_text(app), pilot)
        await pilot.press("enter")
        assert not asked(gateway, "PATCH", "/settings")
        await typed(pilot, "acme")
        await pilot.press("enter")
        await said(app, pilot, "Saved the settings of acme.")


async def test_in_little_room_the_form_and_its_review_take_turns(gateway):
    async with stage(gateway, SMALL, Location("settings", project="acme")) as (app, pilot):
        await until(lambda: "Review before saving" not in screen_text(app), pilot)
        await pilot.press("tab")
        await until(lambda: "EFFECTIVE VALUES" in screen_text(app), pilot)
        assert "Settings of acme" not in screen_text(app)
        await pilot.press("escape")
        await until(lambda: "Settings of acme" in screen_text(app), pilot)
        assert app.history.here.screen == "settings"


async def test_a_read_only_context_is_not_lifted_by_a_command(gateway):
    async with stage(gateway, WIDE, KEYS, readonly=True, context_readonly=True) as (app, pilot):
        arrive_together(app, ":readonly off\r")
        await said(app, pilot, "The context prod is read-only")
        assert not app.may_write


async def test_s_sorts_by_the_next_column_in_sight_and_S_the_other_way_round(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        rows = app.view.rows
        names = [one.name for one in rows.rows]
        await pilot.press("s")
        assert [one.name for one in rows.rows] == sorted(names)
        await pilot.press("S")
        assert [one.name for one in rows.rows] == sorted(names, reverse=True)
        await pilot.press("s")
        assert rows.columns[rows.sort_column].title == "PUBLIC ID"
    async with stage(gateway, WIDE, Location("projects")) as (app, pilot):
        await pilot.press("S", "S")
        assert [one.name for one in app.view.rows.rows] == sorted(
            (one.name for one in app.view.rows.rows), reverse=True
        )
        await pilot.press("s")
        await until(lambda: app.history.here.screen == "settings", pilot)
