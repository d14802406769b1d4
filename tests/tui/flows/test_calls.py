"""One call: made in the playground, and its bodies opened."""

from __future__ import annotations

from tests.tui import seeded_calls
from tests.tui.fake_changes import SECRET
from tests.tui.flows.acts import asked, typed
from tests.tui.stage import WIDE, screen_text, stage, until
from tui.location import Location
from tui.screens.detail import as_word


async def test_the_playground_streams_measures_and_says_what_it_cost(gateway):
    async with stage(gateway, WIDE, Location("playground")) as (app, pilot):
        await until(lambda: bool(app.view.form.items), pilot)
        await typed(pilot, "why")
        await pilot.press("ctrl+r")
        await until(lambda: "provider has recovered." in screen_text(app), pilot)
        await until(lambda: app.view.runs[0].done, pilot)
        text = screen_text(app)
        assert "tok/s" in text
        assert "req_00000000f1a5" in text
        assert SECRET not in text
        assert asked(gateway, "POST", "/chat/completions")[0]["messages"] == [{"role": "user", "content": "why"}]


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


async def test_a_call_leads_to_the_others_of_its_trace(gateway):
    ident = "req_000000000004"
    async with stage(gateway, WIDE, Location("detail", object=ident)) as (app, pilot):
        await until(lambda: f"{seeded_calls.TRACE}" in screen_text(app), pilot)
        assert "[s] opens  14 calls, 1 failed, $0.12400 in 8.20 s" in screen_text(app)
        await pilot.press("s")
        await until(lambda: "its trace" in screen_text(app), pilot)
        await pilot.press("enter")
        await until(lambda: app.history.here.filter == f"trace:{seeded_calls.TRACE}", pilot)
        assert app.history.here.screen == "logs"


def test_a_value_goes_into_a_filter_as_it_is():
    assert as_word("u-17") == "u-17"
    assert as_word('a "b" \\,c') == r'"a \"b\" \\,c"'
