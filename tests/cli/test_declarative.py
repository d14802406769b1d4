"""One file for a gateway: what is exported plans to nothing, what is applied is there, applied twice it changes nothing."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import yaml

from tests.cli.line import optyx

FILE = """
settings: {log_retention_days: 30}
projects:
  acme:
    name: Acme
    settings: {failover: false, allowed_models: ["gpt-*"]}
    limits: {rpm: 600, budgets: [500/month, {amount_usd: "20", window: 1d, soft_percent: 80}]}
  default:
    settings: {timezone: Europe/Berlin}
"""
SECTIONS = ("settings", "orgs", "projects")


async def test_an_export_plans_to_nothing(live, tmp_path):
    file = tmp_path / "gateway.yaml"
    exported = await live("export", *SECTIONS, "--out", str(file))
    assert exported.status == 0, exported.err
    ran = await live("plan", "-f", str(file))
    assert (ran.status, ran.out) == (0, ""), ran.out
    assert (await live("apply", "-f", str(file), "--yes")).err.endswith("Nothing to change.\n")
    assert (await live("export", *SECTIONS, "--out", str(file))).status == 1


async def test_what_is_applied_is_there_and_applied_twice_changes_nothing(live, tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE)
    planned = await live("plan", "-f", str(file))
    assert planned.status == 9
    assert "+ create project acme" in planned.out
    assert "settings.timezone: – -> Europe/Berlin" in planned.out
    assert (await live("apply", "-f", str(file))).status == 2
    assert (await live("plan", "-f", str(file))).out == planned.out
    applied = await live("apply", "-f", str(file), "--yes")
    assert applied.status == 0, applied.err
    assert (await live("settings", "gateway", "-o", "json")).json["log_retention_days"] == 30
    settings = (await live("settings", "get", "-p", "acme", "-o", "json")).json
    assert (settings["failover"], settings["allowed_models"]) == (False, ["gpt-*"])
    limits = (await live("limits", "get", "-p", "acme", "-o", "json")).json
    assert {one["window"]: (one["amount_usd"], one["soft_percent"]) for one in limits["budgets"]} == {
        "1mo": ("500.00", None),
        "1d": ("20.00", 80),
    }
    assert (await live("plan", "-f", str(file))).status == 0
    entries = len((await live("audit", "list", "--all", "-o", "json")).json)
    assert (await live("apply", "-f", str(file), "--yes")).status == 0
    assert len((await live("audit", "list", "--all", "-o", "json")).json) == entries


async def test_a_percentage_that_is_left_out_goes(live, tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE)
    await live("apply", "-f", str(file), "--yes")
    file.write_text(FILE.replace(", soft_percent: 80", ""))
    assert (await live("apply", "-f", str(file), "--yes")).status == 0
    assert (await live("plan", "-f", str(file))).status == 0


async def test_any_order_of_the_file_is_the_same_plan(live, tmp_path):
    document = yaml.safe_load(FILE)
    file = tmp_path / "gateway.yaml"
    plans = set()
    for names in itertools.permutations(document["projects"]):
        file.write_text(
            yaml.safe_dump({"projects": {name: document["projects"][name] for name in names}}, sort_keys=False)
        )
        planned = (await live("plan", "-f", str(file), "-o", "json")).json
        plans.add(str(sorted(planned, key=lambda one: one["name"])))
    assert len(plans) == 1


async def test_only_prune_takes_away(live, tmp_path):
    await live("projects", "create", "Old")
    file = tmp_path / "gateway.yaml"
    file.write_text("projects: {default: {}}\n")
    assert (await live("plan", "-f", str(file))).status == 0
    planned = await live("plan", "-f", str(file), "--prune")
    assert (planned.status, planned.out) == (9, "- archive project old\n")
    assert (await live("apply", "-f", str(file), "--prune", "--yes")).status == 2
    assert (await live("apply", "-f", str(file), "--prune", "--yes", "--confirm", "1")).status == 0
    assert (await live("plan", "-f", str(file), "--prune")).status == 0
    assert (await live("projects", "get", "old", "-o", "json")).json["status"] == "archived"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("projcts: {}", "did you mean projects"),
        ("projects: {a: {limits: {rmp: 3}}}", "projects.a.limits.rmp"),
        ("projects: {a: {settings: {failower: true}}}", "did you mean failover"),
        ("tiers: {fast: [gpt]}", "gpt"),
        ("projects: {a: {limits: {budgets: [ten]}}}", "ten"),
        ("projects: [a]", "projects"),
        ("a: [", "YAML"),
    ],
)
def test_a_wrong_file_is_2_and_names_the_place(fake, tmp_path, text, place):
    file = Path(tmp_path / "wrong.yaml")
    file.write_text(text)
    ran = optyx("plan", "-f", str(file))
    assert (ran.status, ran.out) == (2, "")
    assert place in ran.err
