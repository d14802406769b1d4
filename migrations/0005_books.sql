-- Why: what is owed and by whom (accounts, entries), what was repriced, and who changed what (the audit's hash chain).
-- depends: 0004_logs

CREATE TABLE IF NOT EXISTS billing_accounts (
    id         text PRIMARY KEY,
    org_id     text NOT NULL REFERENCES orgs (id),
    name       text NOT NULL,
    currency   text NOT NULL DEFAULT 'USD' CHECK (currency = 'USD'),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (org_id, name)
);

-- Append-only. `usage` entries are the month's sums; `credit` and `adjustment` are an operator's.
CREATE TABLE IF NOT EXISTS billing_entries (
    id           text PRIMARY KEY,
    account_id   text NOT NULL REFERENCES billing_accounts (id),
    kind         text NOT NULL CHECK (kind IN ('usage', 'credit', 'adjustment')),
    amount_nusd  bigint NOT NULL,
    project_id   text,
    model        text,
    period_start timestamptz,
    period_end   timestamptz,
    note         text NOT NULL DEFAULT '',
    created_by   text,
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS billing_entries_by_account ON billing_entries (account_id, created_at);

CREATE TABLE IF NOT EXISTS repricings (
    id            text PRIMARY KEY,
    period_start  timestamptz NOT NULL,
    period_end    timestamptz NOT NULL,
    rows_changed  bigint NOT NULL,
    before_nusd   bigint NOT NULL,
    after_nusd    bigint NOT NULL,
    created_by    text,
    created_at    timestamptz NOT NULL DEFAULT now()
);

-- hash = SHA-256(previous hash || canonical JSON of the entry); `seq` has no holes. Rows are never updated or deleted.
CREATE TABLE IF NOT EXISTS audit_log (
    seq        bigint PRIMARY KEY,
    id         text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    actor      text NOT NULL,
    actor_id   text,
    via        text NOT NULL DEFAULT 'api',
    action     text NOT NULL,
    object     text NOT NULL,
    object_id  text,
    project_id text,
    before     jsonb,
    after      jsonb,
    reason     text,
    result     text NOT NULL DEFAULT 'ok',
    request_id text,
    undone_by  text,
    previous   bytea NOT NULL,
    hash       bytea NOT NULL
);

CREATE INDEX IF NOT EXISTS audit_log_by_object ON audit_log (object_id, seq DESC);
CREATE INDEX IF NOT EXISTS audit_log_by_project ON audit_log (project_id, seq DESC);

CREATE TABLE IF NOT EXISTS admin_idempotency (
    token_id        text NOT NULL,
    idempotency_key text NOT NULL,
    body_digest     bytea NOT NULL,
    status          integer NOT NULL,
    answer          jsonb NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (token_id, idempotency_key)
);
