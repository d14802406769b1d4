"""The first rows: an org, a user, a project, a billing account, an administrator's token, a demo key."""

from __future__ import annotations

INSERT_ORG = """
INSERT INTO orgs (id, slug, name) VALUES ($1, 'default', 'Default organisation') ON CONFLICT (slug) DO NOTHING
"""
ORG_ID = "SELECT id FROM orgs WHERE slug = 'default'"

INSERT_USER = """
INSERT INTO users (id, email, name) VALUES ($1, 'owner@localhost', 'Owner') ON CONFLICT (email) DO NOTHING
"""
USER_ID = "SELECT id FROM users WHERE email = 'owner@localhost'"

INSERT_MEMBERSHIP = """
INSERT INTO memberships (org_id, user_id, role) VALUES ($1, $2, 'owner') ON CONFLICT (org_id, user_id) DO NOTHING
"""

INSERT_PROJECT = """
INSERT INTO projects (id, org_id, slug, name) VALUES ($1, $2, 'default', 'Default project') ON CONFLICT (org_id, slug) DO NOTHING
"""
PROJECT_ID = "SELECT id FROM projects WHERE org_id = $1 AND slug = 'default'"

INSERT_SETTINGS = "INSERT INTO project_settings (project_id) VALUES ($1) ON CONFLICT (project_id) DO NOTHING"

INSERT_ACCOUNT = """
INSERT INTO billing_accounts (id, org_id, name) VALUES ($1, $2, 'Main account') ON CONFLICT (org_id, name) DO NOTHING
"""
ACCOUNT_ID = "SELECT id FROM billing_accounts WHERE org_id = $1 AND name = 'Main account'"

INSERT_FIRST_ENTRY = """
INSERT INTO billing_entries (id, account_id, kind, amount_nusd, note, created_by)
SELECT $1, $2, 'credit', 100000000000, 'Sample: a starting credit of 100 dollars', 'seed'
WHERE NOT EXISTS (SELECT FROM billing_entries WHERE account_id = $2)
"""
ENTRY_IDS = "SELECT id FROM billing_entries WHERE account_id = $1 ORDER BY created_at, id"

PROVIDER_IDS = "SELECT name, id FROM providers ORDER BY position, name"

COUNTS = "SELECT (SELECT count(*) FROM models), (SELECT count(*) FROM prices), (SELECT count(*) FROM tiers)"

ANY_ADMIN_TOKEN = "SELECT EXISTS (SELECT FROM admin_tokens WHERE disabled_at IS NULL AND role = 'owner')"

INSERT_ADMIN_TOKEN = """
INSERT INTO admin_tokens (id, name, digest, public_id, role, user_id, created_by) VALUES ($1, $2, $3, $4, 'owner', $5, 'first start')
"""

IS_ADMIN_TOKEN = "SELECT EXISTS (SELECT FROM admin_tokens WHERE digest = $1 AND disabled_at IS NULL)"

ANY_KEY_OF = "SELECT EXISTS (SELECT FROM api_keys WHERE project_id = $1 AND disabled_at IS NULL AND revoked_at IS NULL)"

INSERT_KEY = """
INSERT INTO api_keys (id, project_id, name, public_id, digest, created_by) VALUES ($1, $2, $3, $4, $5, 'first start')
"""
