"""Every route against every kind of caller. What only some may do is written down here a second time, so that a slip in the table shows."""

import pytest

from gateway.admin.desk import Nothing
from gateway.admin.routes import ROUTES

OWNERS = {
    "DELETE /projects/{p}",
    "PATCH /orgs/{o}", "PUT /orgs/{o}/limits",
    "POST /providers", "DELETE /providers/{id}",
    "POST /models", "PATCH /models/{id}", "POST /prices",
    "GET /users", "POST /users", "GET /users/{u}", "PATCH /users/{u}",
    "GET /tokens", "POST /tokens", "DELETE /tokens/{t}",
    "PATCH /settings",
    "POST /reprice", "POST /billing/entries", "POST /billing/close", "POST /secrets/rotate",
}  # fmt: skip
READS = {"POST /projects/{p}/settings:preview", "POST /explain"}
"""Those that look and change nothing, though they are no GET."""
RANK = {"viewer": 0, "operator": 1, "owner": 2}


def name(route):
    return f"{route.method} {route.path}"


def test_what_only_an_owner_may_is_what_is_written_here():
    assert {name(route) for route in ROUTES if route.role == "owner"} == OWNERS


def test_a_viewer_changes_nothing():
    for route in ROUTES:
        if route.role == "viewer" and name(route) not in READS:
            assert (route.method, route.db != "write") == ("GET", True), name(route)
        if route.db == "write":
            assert route.method != "GET", name(route)


def path_of(route):
    return route.path.replace("{", "no-such-").replace("}", "")


@pytest.mark.parametrize("caller", ["nobody", "a project's key", "viewer", "operator", "owner"])
async def test_every_route_lets_in_whom_it_should(gateway, caller):
    for route in ROUTES:
        if caller not in RANK:
            headers = {} if caller == "nobody" else {"Authorization": f"Bearer {gateway.key}"}
            async with gateway.session.request(
                route.method, gateway.admin_url + path_of(route), headers=headers
            ) as answer:
                assert answer.status == 401, name(route)
        elif RANK[caller] < RANK[route.role]:
            answered = await gateway.admin(route.method, path_of(route), role=caller)
            assert (answered.status, answered.code) == (403, "forbidden"), name(route)
        elif route.answer is not None:  # a stream has no end to wait for
            answered = await gateway.admin(route.method, path_of(route), role=caller)
            assert answered.status not in (401, 403, 405, 500), (name(route), answered.body)


async def test_no_route_takes_a_field_that_it_does_not_know(gateway):
    """Mass assignment: refused by name on every route that takes a body, and on those that take none."""
    for route in ROUTES:
        if route.method != "GET":
            answered = await gateway.admin(route.method, path_of(route), {"is_admin": True})
            assert (answered.status, answered.code) == (422, "invalid_request"), name(route)
            assert "is_admin" in answered.json["error"]["message"], name(route)
        elif route.answer is not None and route.query is Nothing:
            assert (await gateway.admin("GET", f"{path_of(route)}?is_admin=1")).status == 422, name(route)
