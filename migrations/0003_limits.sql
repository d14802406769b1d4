-- Why: limits and budgets, and the coordinator's tables: what is spent, what is lent to which worker, who is alive.
-- depends: 0002_routing

-- `subject`: the id of the org, project or key; for scope `user` the id of the project whose end users each have this limit.
CREATE TABLE IF NOT EXISTS limits (
    id          text PRIMARY KEY,
    scope       text NOT NULL CHECK (scope IN ('org', 'project', 'key', 'user')),
    subject     text NOT NULL,
    model       text NOT NULL DEFAULT '',
    tier        text NOT NULL DEFAULT '',
    rpm         bigint CHECK (rpm >= 0),
    tpm         bigint CHECK (tpm >= 0),
    concurrency bigint CHECK (concurrency >= 0),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (scope, subject, model, tier)
);

-- "window" is calendar-aligned in `timezone`. A raise adds to the amount until it ends. `window` is a reserved word of SQL.
CREATE TABLE IF NOT EXISTS budgets (
    id                text PRIMARY KEY,
    scope             text NOT NULL CHECK (scope IN ('org', 'project', 'key', 'user')),
    subject           text NOT NULL,
    model             text NOT NULL DEFAULT '',
    tier              text NOT NULL DEFAULT '',
    amount_nusd       bigint NOT NULL CHECK (amount_nusd >= 0),
    "window"          text NOT NULL CHECK ("window" IN ('1h', '1d', '7d', '30d', '1mo', 'total')),
    soft_percent      integer CHECK (soft_percent BETWEEN 1 AND 100),
    downgrade_percent integer CHECK (downgrade_percent BETWEEN 1 AND 100),
    raise_nusd        bigint NOT NULL DEFAULT 0 CHECK (raise_nusd >= 0),
    raise_until       timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    UNIQUE (scope, subject, model, tier, "window")
);

-- spent_nusd = the sum of cost of the rows of request_logs of that scope, created in [window_start, window_end): moved only by the
-- transaction that inserts those rows. `subject` is the end user's name for scope `user`, else the budget's own subject.
CREATE TABLE IF NOT EXISTS budget_windows (
    budget_id    text NOT NULL REFERENCES budgets (id) ON DELETE CASCADE,
    subject      text NOT NULL,
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL,
    spent_nusd   bigint NOT NULL DEFAULT 0,
    alerted_at   timestamptz,
    PRIMARY KEY (budget_id, subject, window_start)
);

-- What a worker may still spend of a window, with what it has spent and not yet recorded. spent + the sum of live shares <= amount.
CREATE TABLE IF NOT EXISTS budget_shares (
    budget_id    text NOT NULL,
    subject      text NOT NULL,
    window_start timestamptz NOT NULL,
    worker_id    text NOT NULL,
    amount_nusd  bigint NOT NULL CHECK (amount_nusd >= 0),
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (budget_id, subject, window_start, worker_id),
    FOREIGN KEY (budget_id, subject, window_start) REFERENCES budget_windows (budget_id, subject, window_start) ON DELETE CASCADE
);

CREATE INDEX IF NOT EXISTS budget_shares_by_worker ON budget_shares (worker_id);

-- Rates without Redis: one row a limit, dimension (`requests`, `tokens`, `slots`) and subject; `grants` are the shares given out in
-- the sliding minute. UNLOGGED: a crash of Postgres forgets at most a minute of rates.
CREATE UNLOGGED TABLE IF NOT EXISTS rate_windows (
    limit_id  text NOT NULL,
    dimension text NOT NULL CHECK (dimension IN ('requests', 'tokens', 'slots')),
    subject   text NOT NULL,
    grants    jsonb NOT NULL DEFAULT '[]',
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (limit_id, dimension, subject)
);

CREATE TABLE IF NOT EXISTS workers (
    id           text PRIMARY KEY,
    machine      text NOT NULL,
    pid          integer NOT NULL,
    version      text NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    stopped_at   timestamptz,
    state        jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE IF NOT EXISTS idempotency (
    key_id       text NOT NULL,
    idempotency_key text NOT NULL,
    body_digest  bytea NOT NULL,
    state        text NOT NULL CHECK (state IN ('in_progress', 'done')),
    worker_id    text,
    request_id   text NOT NULL,
    status       integer,
    headers      jsonb,
    answer       bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (key_id, idempotency_key)
);

CREATE INDEX IF NOT EXISTS idempotency_by_expiry ON idempotency (expires_at);
