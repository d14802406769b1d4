"""Keys on a scripted gateway: made, shown once, rotated, disabled, revoked; every change is asked about, and can be undone where that is promised."""

from __future__ import annotations

import time

import pytest

from tests.tui import seeded
from tests.tui.fake_changes import SECRET
from tests.tui.flows.acts import KEYS, armed, arrive_together, asked, said, typed
from tests.tui.stage import SMALL, WIDE, screen_text, settled, stage, until
from tui.location import Location
from tui.widgets.dialogs import Confirm


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


async def test_among_keys_of_all_projects_the_question_names_the_project_too(gateway):
    async with stage(gateway, WIDE, Location("keys")) as (app, pilot):
        await pilot.press("j", "d")
        await armed(app, pilot)
        assert "Disable ci-deploy of acme?" in screen_text(app)
        await pilot.press("escape")


async def test_with_one_project_a_new_key_begins_with_its_name(gateway):
    gateway.projects = gateway.projects[:1]
    async with stage(gateway, SMALL, Location("keys")) as (app, pilot):
        await pilot.press("n")
        await until(lambda: "New key" in screen_text(app), pilot)
        await typed(pilot, "lena")
        assert ">Name            lena" in screen_text(app)
        await pilot.press("escape")


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


async def test_a_new_key_is_bound_to_the_addresses_that_are_typed(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("n")
        await pilot.pause()
        await typed(pilot, "ci")
        await pilot.press(*["tab"] * 5)
        await pilot.pause()
        assert "empty: everywhere; or networks like 10.0.0.0/8" in screen_text(app)
        await typed(pilot, "10.0.0.0/8, office")
        await pilot.press("ctrl+s")
        await until(lambda: "office is no address and no network" in screen_text(app), pilot)
        assert not asked(gateway, "POST", "/keys")
        await pilot.press("ctrl+u")
        await typed(pilot, "10.0.0.0/8, 192.0.2.7 2001:db8::/32")
        await pilot.press("ctrl+s")
        await until(lambda: SECRET in screen_text(app), pilot)
        assert asked(gateway, "POST", "/keys")[0]["allowed_addresses"] == ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]


@pytest.mark.parametrize(("size", "label"), [(WIDE, "Used from"), (SMALL, "from")], ids=["wide", "small"])
async def test_a_bound_key_says_where_it_may_be_used_from(gateway, size, label):
    gateway.keys["acme"][0].allowed_addresses = ["10.0.0.0/8"]
    async with stage(gateway, size, KEYS) as (app, pilot):
        await until(lambda: "10.0.0.0/8" in screen_text(app), pilot)
        [line] = [line for line in screen_text(app).splitlines() if "10.0.0.0/8" in line]
        assert label in line
        await pilot.press("j")
        await until(lambda: "10.0.0.0/8" not in screen_text(app), pilot)


async def test_rotating_asks_how_long_the_old_secret_works(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("r")
        await pilot.pause()
        assert "Old secret works for" in screen_text(app)
        await pilot.press("right", "ctrl+s")
        await until(lambda: SECRET in screen_text(app), pilot)
        assert asked(gateway, "POST", "/rotate") == [
            {"grace_s": 259_200, "public_id": gateway.keys["acme"][0].public_id}
        ]
        await pilot.press("escape", "escape")


async def test_a_key_that_somebody_else_rotates_meanwhile_is_left_alone(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("r")
        await pilot.pause()
        gateway.keys["acme"][0].public_id = "another"
        await pilot.press("ctrl+s")
        await said(app, pilot, "The key 'web-prod' was rotated meanwhile.")
        assert SECRET not in screen_text(app)


async def test_rotating_a_key_in_its_grace_says_which_secret_ends(gateway):
    gateway.keys["acme"][0].status, gateway.keys["acme"][0].grace_until = "grace", seeded.ago(hours=-22)
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("r")
        await until(lambda: "The secret before this one, which works for 22h more" in screen_text(app), pilot)
        await pilot.press("escape")


async def test_an_undo_that_is_refused_says_what_was_not_undone(gateway):
    async with stage(gateway, WIDE, KEYS) as (app, pilot):
        await pilot.press("d")
        await armed(app, pilot)
        await pilot.press("Y")
        await said(app, pilot, "u undoes.")
        gateway.fail_with = (409, "conflict", "The key was changed again meanwhile.")
        await pilot.press("u")
        await said(app, pilot, "Could not undo: disabled web-prod. The key was changed again meanwhile. (conflict)")


async def test_a_new_keys_dialog_says_itself_what_went_wrong_and_offers_its_own_keys_alone(
    gateway, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme-ci.key").write_text("another")
    async with stage(gateway, SMALL, KEYS) as (app, pilot):
        arrive_together(app, "nci\r\r\r\r\r\r")
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
