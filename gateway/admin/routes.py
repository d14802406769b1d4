"""The table of the admin API: every route there is. aiohttp's routes, the role check and the OpenAPI document all come from it.

How to add a route
1. Its answer is a struct of `schema/` (every field has a default); its body and its query are structs with `forbid_unknown_fields`.
2. Write the handler in the file of its aggregate: `async def create(ask: Ask[NewThing, Nothing]) -> Thing`. It gets a decoded
   `ask.body`, `ask.query`, the parts in braces as `ask.path["p"]`, a connection `ask.db`, the `ask.desk` and `ask.who`. It returns the
   struct, or a `Reply` to set a status, an ETag (`version`) or headers, or an aiohttp response of its own (a stream).
3. SQL stands in `gateway/store/`, one module an aggregate. A refusal is one of `gateway.errors`; `decode.refuse([(field, why)])` is the
   422 that names a field.
4. Add a row here, in the order of its section. Fields:
   `role`    the least role: viewer reads, operator changes what projects need, owner handles providers, money, people and the gateway.
   `db`      "read": a connection; "write": a transaction, with the audit appended and Idempotency-Key honoured (POST); "none": neither.
   `once`    a field of the answer that is shown only once (a key): a repetition with the same Idempotency-Key has null there.
   `takes_slashes`  the last part of the path may hold slashes, as names of models do.
   `answer`  the struct, `Page[Struct]` for a list, None for an event stream.
5. Every change calls `audit.record(ask, "thing.verb", ("thing", id, name), before=…, after=…)`; its result is the `audit_id` to answer.
`tests/admin/test_routes.py` walks the table: roles, unknown fields, the document.
"""

from __future__ import annotations

from typing import Any

from gateway.admin import asked as a
from gateway.admin import (
    billing,
    books,
    events,
    explain,
    following,
    gateway_settings,
    keys,
    limits,
    logs,
    models,
    orgs,
    overview,
    people,
    projects,
    provider_test,
    providers,
    reprice,
    secrets,
    session,
    settings,
    tiers,
    trail,
    usage,
)
from gateway.admin.dispatch import Route
from gateway.admin.paging import PageQuery
from gateway.admin.schema.audit import AuditEntry, Chain
from gateway.admin.schema.billing import BillingAccount, BillingEntry, Closing, Statement
from gateway.admin.schema.explain import Explanation
from gateway.admin.schema.keys import Key, NewKey, SavedKey
from gateway.admin.schema.limits import Limits, LimitsOverview, SavedLimits
from gateway.admin.schema.logs import LogCount, LogDetail, LogPage
from gateway.admin.schema.models import Model, Price, SavedModel, SavedPrice, SavedTier, Tier
from gateway.admin.schema.overview import Attention, Overview
from gateway.admin.schema.people import NewToken, Org, SavedOrg, SavedToken, SavedUser, Token, User, Whoami
from gateway.admin.schema.projects import NewProject, Project, SavedProject
from gateway.admin.schema.providers import Provider, ProviderTest, SavedProvider
from gateway.admin.schema.record import Changed, Page
from gateway.admin.schema.settings import (
    GatewaySettings,
    Preview,
    SavedGatewaySettings,
    SavedSettings,
    Settings,
    SettingsVersion,
)
from gateway.admin.schema.upkeep import Books, Repricing, Resealed
from gateway.admin.schema.usage import Usage

ROUTES: tuple[Route, ...] = (
    # who is asking
    Route(method="GET", path="/whoami", handler=session.whoami, role="viewer", answer=Whoami,
          summary="Whose token this is"),
    Route(method="GET", path="/openapi.json", handler=session.openapi, role="viewer", answer=dict[str, Any],
          summary="This API, described"),
    # projects
    Route(method="GET", path="/projects", handler=projects.list_projects, role="viewer", query=a.ProjectsQuery, answer=Page[Project],
          summary="Every project, by name"),
    Route(method="POST", path="/projects", handler=projects.create, role="operator", body=a.NewProject, answer=NewProject, status=201,
          db="write", once="key", summary="A new project, with a first key where one is asked for"),
    Route(method="GET", path="/projects/{p}", handler=projects.get, role="viewer", answer=Project,
          summary="One project, by id or slug"),
    Route(method="PATCH", path="/projects/{p}", handler=projects.update, role="operator", body=a.ProjectChange, answer=SavedProject,
          db="write", summary="Another name or slug"),
    Route(method="DELETE", path="/projects/{p}", handler=projects.delete, role="owner", answer=Changed, db="write",
          summary="Delete an archived project for ever; its calls stay in the logs"),
    Route(method="POST", path="/projects/{p}/archive", handler=projects.archive, role="operator", answer=SavedProject, db="write",
          summary="Its keys stop working; its data stays"),
    Route(method="POST", path="/projects/{p}/restore", handler=projects.restore, role="operator", answer=SavedProject, db="write",
          summary="Back from the archive"),
    # keys
    Route(method="GET", path="/projects/{p}/keys", handler=keys.list_keys, role="viewer", query=a.KeysQuery, answer=Page[Key],
          summary="The project's keys, newest first"),
    Route(method="POST", path="/projects/{p}/keys", handler=keys.create, role="operator", body=a.NewKey, answer=NewKey, status=201,
          db="write", once="key", summary="A new key; its text is in this answer only"),
    Route(method="GET", path="/keys/whois/{public_id}", handler=keys.whois, role="viewer", answer=Key,
          summary="The key that a public id belongs to"),
    Route(method="GET", path="/keys/{k}", handler=keys.get, role="viewer", answer=Key, summary="One key"),
    Route(method="PATCH", path="/keys/{k}", handler=keys.update, role="operator", body=a.KeyChange, answer=SavedKey, db="write",
          summary="Another name, expiry, allow-list or list of addresses"),
    Route(method="DELETE", path="/keys/{k}", handler=keys.revoke, role="operator", answer=SavedKey, db="write",
          summary="Revoke for ever"),
    Route(method="POST", path="/keys/{k}/disable", handler=keys.disable, role="operator", answer=SavedKey, db="write",
          summary="Stop it until it is enabled again"),
    Route(method="POST", path="/keys/{k}/enable", handler=keys.enable, role="operator", answer=SavedKey, db="write",
          summary="Let it work again"),
    Route(method="POST", path="/keys/{k}/rotate", handler=keys.rotate, role="operator", body=a.Rotation, answer=NewKey, db="write",
          once="key", summary="A new secret; the old one works on for its grace"),
    # settings of a project
    Route(method="GET", path="/projects/{p}/settings", handler=settings.get, role="viewer", answer=Settings,
          summary="The project's settings, with an ETag"),
    Route(method="PATCH", path="/projects/{p}/settings", handler=settings.update, role="operator", body=a.SettingsChange,
          answer=SavedSettings, db="write", summary="Change some of them (If-Match guards against others' changes)"),
    Route(method="POST", path="/projects/{p}/settings:preview", handler=settings.preview, role="viewer", body=a.SettingsChange,
          answer=Preview, summary="What a change would do, and would have refused or sent elsewhere in the last 24 hours"),
    Route(method="POST", path="/projects/{p}/settings:restore", handler=settings.restore, role="operator", body=a.Restore,
          answer=SavedSettings, db="write", summary="An old version as a new one"),
    Route(method="GET", path="/projects/{p}/settings/history", handler=settings.history, role="viewer", query=PageQuery,
          answer=Page[SettingsVersion], summary="Every version, newest first"),
    # orgs
    Route(method="GET", path="/orgs", handler=orgs.list_orgs, role="viewer", query=PageQuery, answer=Page[Org], summary="Every org"),
    Route(method="GET", path="/orgs/{o}", handler=orgs.get, role="viewer", answer=Org, summary="One org, by id or slug"),
    Route(method="PATCH", path="/orgs/{o}", handler=orgs.update, role="owner", body=a.OrgChange, answer=SavedOrg, db="write",
          summary="Another name or time zone"),
    # limits and budgets
    Route(method="GET", path="/limits", handler=limits.overview, role="viewer", query=a.LimitsQuery, answer=LimitsOverview,
          summary="Every budget and rate limit, as it stands now"),
    Route(method="GET", path="/projects/{p}/limits", handler=limits.get_of_project, role="viewer", answer=Limits,
          summary="Limits of a project, with an ETag"),
    Route(method="PUT", path="/projects/{p}/limits", handler=limits.put_of_project, role="operator", body=a.Limits, answer=SavedLimits,
          db="write", summary="Set all limits of a project"),
    Route(method="GET", path="/projects/{p}/user-limits", handler=limits.get_of_users, role="viewer", answer=Limits,
          summary="Limits that each end user of a project has"),
    Route(method="PUT", path="/projects/{p}/user-limits", handler=limits.put_of_users, role="operator", body=a.Limits,
          answer=SavedLimits, db="write", summary="Set the limits that each end user of a project has"),
    Route(method="GET", path="/keys/{k}/limits", handler=limits.get_of_key, role="viewer", answer=Limits,
          summary="Limits of a key, with an ETag"),
    Route(method="PUT", path="/keys/{k}/limits", handler=limits.put_of_key, role="operator", body=a.Limits, answer=SavedLimits,
          db="write", summary="Set all limits of a key"),
    Route(method="GET", path="/orgs/{o}/limits", handler=limits.get_of_org, role="viewer", answer=Limits,
          summary="Limits of an org, with an ETag"),
    Route(method="PUT", path="/orgs/{o}/limits", handler=limits.put_of_org, role="owner", body=a.Limits, answer=SavedLimits, db="write",
          summary="Set all limits of an org"),
    Route(method="POST", path="/budgets/{b}/raise", handler=limits.raise_budget, role="operator", body=a.Raise, answer=Changed,
          db="write", summary="More money until a time"),
    # providers
    Route(method="GET", path="/providers", handler=providers.list_providers, role="viewer", answer=Page[Provider],
          summary="Every provider with its health"),
    Route(method="POST", path="/providers", handler=providers.create, role="owner", body=a.NewProvider, answer=SavedProvider, status=201,
          db="write", summary="A new provider; its credential is stored sealed"),
    Route(method="GET", path="/providers/{id}", handler=providers.get, role="viewer", answer=Provider,
          summary="One provider, by id or name"),
    Route(method="PATCH", path="/providers/{id}", handler=providers.update, role="operator", body=a.ProviderChange, answer=SavedProvider,
          db="write", summary="Switch it (operator), or change address, credential, timeouts (owner)"),
    Route(method="DELETE", path="/providers/{id}", handler=providers.delete, role="owner", answer=Changed, db="write",
          summary="Delete a provider that no tier uses and that has no prices"),
    Route(method="POST", path="/providers/{id}/test", handler=provider_test.test, role="operator", body=a.ProviderTest,
          answer=ProviderTest, db="none", summary="Try it step by step; with `stream` each step is told as it comes (SSE)"),
    Route(method="POST", path="/providers/{id}/enable", handler=providers.enable, role="operator", answer=SavedProvider, db="write",
          summary="Let calls go to it"),
    Route(method="POST", path="/providers/{id}/disable", handler=providers.disable, role="operator", answer=SavedProvider, db="write",
          summary="No new calls to it; says what that means for tiers"),
    Route(method="POST", path="/providers/{id}/circuit/close", handler=providers.close_circuit, role="operator", answer=Changed,
          db="write", summary="Try it again at once, on every worker"),
    # tiers, models, prices
    Route(method="GET", path="/tiers", handler=tiers.list_tiers, role="viewer", answer=Page[Tier], summary="Every tier, with an ETag"),
    Route(method="PUT", path="/tiers", handler=tiers.put_all, role="operator", body=a.TiersChange, answer=Page[Tier], db="write",
          summary="Targets of several tiers at once, or of one"),
    Route(method="GET", path="/tiers/{t}", handler=tiers.get, role="viewer", answer=Tier, summary="One tier, with an ETag"),
    Route(method="PUT", path="/tiers/{t}", handler=tiers.put, role="operator", body=a.TierChange, answer=SavedTier, db="write",
          summary="All targets of a tier, in order"),
    Route(method="GET", path="/models", handler=models.list_models, role="viewer", query=a.ModelsQuery, answer=Page[Model],
          summary="Every model with its price now"),
    Route(method="POST", path="/models", handler=models.create, role="owner", body=a.NewModel, answer=SavedModel, status=201, db="write",
          summary="A model of a provider"),
    Route(method="GET", path="/models/{id}", takes_slashes=True, handler=models.get, role="viewer", answer=Model,
          summary="One model, by id or provider/id"),
    Route(method="PATCH", path="/models/{id}", takes_slashes=True, handler=models.update, role="owner", body=a.ModelChange,
          answer=SavedModel, db="write", summary="Switch a model, or change its limits"),
    Route(method="GET", path="/prices", handler=models.list_prices, role="viewer", query=a.PricesQuery, answer=Page[Price],
          summary="Every price there was, is and will be"),
    Route(method="POST", path="/prices", handler=models.create_price, role="owner", body=a.NewPrice, answer=SavedPrice, status=201,
          db="write", summary="A price from now on, or from a day to come"),
    # people and the gateway itself
    Route(method="GET", path="/users", handler=people.list_users, role="owner", query=PageQuery, answer=Page[User],
          summary="Every user"),
    Route(method="POST", path="/users", handler=people.create_user, role="owner", body=a.NewUser, answer=SavedUser, status=201,
          db="write", summary="A new user with a role in an org"),
    Route(method="GET", path="/users/{u}", handler=people.get_user, role="owner", answer=User, summary="One user, by id or email"),
    Route(method="PATCH", path="/users/{u}", handler=people.update_user, role="owner", body=a.UserChange, answer=SavedUser, db="write",
          summary="Another name or role, or disabled"),
    Route(method="GET", path="/tokens", handler=people.list_tokens, role="owner", query=PageQuery, answer=Page[Token],
          summary="Every admin token, without its text"),
    Route(method="POST", path="/tokens", handler=people.create_token, role="owner", body=a.NewToken, answer=NewToken, status=201,
          db="write", once="token", summary="A new admin token; its text is in this answer only"),
    Route(method="DELETE", path="/tokens/{t}", handler=people.delete_token, role="owner", answer=SavedToken, db="write",
          summary="Revoke an admin token"),
    Route(method="GET", path="/settings", handler=gateway_settings.get, role="viewer", answer=GatewaySettings,
          summary="Settings of the gateway, with an ETag"),
    Route(method="PATCH", path="/settings", handler=gateway_settings.update, role="owner", body=a.GatewaySettingsChange,
          answer=SavedGatewaySettings, db="write", summary="Change some of them; null: back to the default"),
    # the audit
    Route(method="GET", path="/audit", handler=trail.search, role="viewer", query=a.AuditQuery, answer=Page[AuditEntry],
          summary="Who changed what, newest first"),
    Route(method="GET", path="/audit/verify", handler=trail.verify, role="viewer", answer=Chain, summary="Check the hash chain"),
    Route(method="GET", path="/audit/{a}", handler=trail.get, role="viewer", answer=AuditEntry, summary="One entry"),
    Route(method="POST", path="/undo/{a}", handler=trail.undo, role="operator", answer=Changed, db="write",
          summary="Put back what an entry changed, within 30 seconds"),
    # the books
    Route(method="GET", path="/books", handler=books.check, role="viewer", answer=Books, db="none", summary="Check that the books add up"),
    Route(method="POST", path="/reprice", handler=reprice.reprice, role="owner", body=reprice.RepriceBody, answer=Repricing, db="none",
          summary="What a period's calls cost at the prices of now; with apply, make it so"),
    # secrets
    Route(method="POST", path="/secrets/rotate", handler=secrets.rotate, role="owner", answer=Resealed, db="none",
          summary="Put everything that is sealed under the first of OPTYX_SECRET_KEY's keys"),
    # billing
    Route(method="GET", path="/billing/accounts", handler=billing.accounts, role="viewer", answer=Page[BillingAccount],
          summary="Every account and its balance"),
    Route(method="GET", path="/billing/entries", handler=billing.entries, role="viewer", query=billing.EntriesQuery,
          answer=Page[BillingEntry], summary="An account's entries, newest first"),
    Route(method="POST", path="/billing/entries", handler=billing.enter, role="owner", body=billing.NewEntry, answer=BillingEntry, status=201,
          db="write", summary="A credit or an adjustment"),
    Route(method="GET", path="/billing/statements", handler=billing.statement, role="viewer", query=billing.StatementQuery, answer=Statement,
          summary="A month's usage and entries, as JSON or CSV"),
    Route(method="POST", path="/billing/close", handler=billing.close, role="owner", body=billing.ClosingAsked, answer=Closing, db="write",
          summary="Post a month's usage once; again, only what came late"),
    # the log
    Route(method="GET", path="/logs", handler=logs.index, role="viewer", query=logs.LogsQuery, answer=LogPage, summary="Search the log"),
    Route(method="GET", path="/logs/count", handler=logs.count, role="viewer", query=logs.Wanted, answer=LogCount, summary="Count what matches"),
    Route(method="GET", path="/logs/tail", handler=following.tail, role="viewer", query=following.TailQuery, answer=None, db="none",
          summary="Follow the log: server-sent events"),
    Route(method="GET", path="/events", handler=events.events, role="viewer", query=events.EventsQuery, answer=None, db="none",
          summary="Follow the log, the audit and providers' health on one stream: server-sent events"),
    Route(method="GET", path="/logs/{request_id}", handler=logs.detail, role="viewer", query=logs.DetailQuery, answer=LogDetail,
          summary="One call, by either of its ids, with its bodies where they are captured"),
    Route(method="GET", path="/usage", handler=usage.report, role="viewer", query=usage.UsageQuery, answer=Usage,
          summary="Calls, tokens and money by project, key, model, time …"),
    Route(method="POST", path="/explain", handler=explain.explain, role="viewer", body=explain.Question, answer=Explanation, db="none",
          summary="What would happen to a request; no provider is called"),
    # at a glance
    Route(method="GET", path="/overview", handler=overview.show, role="viewer", query=overview.OverviewQuery, answer=Overview, db="none",
          summary="The first screen in one call"),
    Route(method="GET", path="/attention", handler=overview.needs, role="viewer", answer=Page[Attention], db="none",
          summary="What needs an operator, the urgent first"),
)  # fmt: skip
