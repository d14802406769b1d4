-- Why: who owns what: orgs, users and their roles, projects with their settings, keys, and the tokens of administrators.

CREATE TABLE IF NOT EXISTS orgs (
    id          text PRIMARY KEY,
    slug        text NOT NULL UNIQUE,
    name        text NOT NULL,
    timezone    text NOT NULL DEFAULT 'UTC',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS users (
    id          text PRIMARY KEY,
    email       text NOT NULL UNIQUE,
    name        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz
);

CREATE TABLE IF NOT EXISTS memberships (
    org_id      text NOT NULL REFERENCES orgs (id),
    user_id     text NOT NULL REFERENCES users (id),
    role        text NOT NULL CHECK (role IN ('owner', 'operator', 'viewer')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, user_id)
);

CREATE TABLE IF NOT EXISTS projects (
    id          text PRIMARY KEY,
    org_id      text NOT NULL REFERENCES orgs (id),
    slug        text NOT NULL,
    name        text NOT NULL,
    created_by  text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    archived_at timestamptz,
    UNIQUE (org_id, slug)
);

-- One row a project, every version kept beside it. `tiers` is {"fast": [{"provider","model","timeouts"?}]}; null values mean
-- "as the gateway has it".
CREATE TABLE IF NOT EXISTS project_settings (
    project_id     text PRIMARY KEY REFERENCES projects (id),
    version        bigint NOT NULL DEFAULT 1,
    default_tier   text,
    tiers          jsonb,
    allowed_models text[],
    failover       boolean NOT NULL DEFAULT true,
    capture        boolean NOT NULL DEFAULT false,
    timezone       text,
    updated_by     text,
    updated_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS project_settings_history (
    project_id  text NOT NULL REFERENCES projects (id),
    version     bigint NOT NULL,
    settings    jsonb NOT NULL,
    updated_by  text,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, version)
);

-- `digest` is the SHA-256 of the key; the key itself is nowhere. A rotated key lives on as its predecessor row until `grace_until`:
-- `id` (what limits, spend and logs hang on) stays with the new secret.
CREATE TABLE IF NOT EXISTS api_keys (
    id             text PRIMARY KEY,
    project_id     text NOT NULL REFERENCES projects (id),
    name           text NOT NULL,
    public_id      text NOT NULL UNIQUE,
    digest         bytea NOT NULL UNIQUE,
    allowed_models text[],
    created_by     text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz,
    disabled_at    timestamptz,
    revoked_at     timestamptz
);

CREATE INDEX IF NOT EXISTS api_keys_by_project ON api_keys (project_id, created_at);

CREATE TABLE IF NOT EXISTS rotated_secrets (
    digest      bytea PRIMARY KEY,
    key_id      text NOT NULL REFERENCES api_keys (id),
    public_id   text NOT NULL,
    rotated_at  timestamptz NOT NULL DEFAULT now(),
    grace_until timestamptz NOT NULL
);

CREATE INDEX IF NOT EXISTS rotated_secrets_by_key ON rotated_secrets (key_id);

CREATE TABLE IF NOT EXISTS admin_tokens (
    id           text PRIMARY KEY,
    name         text NOT NULL,
    digest       bytea NOT NULL UNIQUE,
    public_id    text NOT NULL UNIQUE,
    role         text NOT NULL CHECK (role IN ('owner', 'operator', 'viewer')),
    user_id      text REFERENCES users (id),
    created_by   text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    disabled_at  timestamptz,
    last_used_at timestamptz
);
