-- Why: the record of every call, partitioned by day so that retention drops whole tables; the rollups that screens and bills read;
-- captured payloads apart from it, with a life of their own.
-- depends: 0003_limits

-- The columns have the names of the admin API. `call_id` is ours and unique; `request_id` is what the client sees and may repeat.
-- A row becomes visible to the live tail when every transaction up to `ingest_xid` has ended: no gap, no double.
CREATE TABLE IF NOT EXISTS request_logs (
    created_at         timestamptz NOT NULL,
    call_id            uuid NOT NULL,
    request_id         text NOT NULL,
    org_id             text NOT NULL,
    project_id         text NOT NULL,
    key_id             text NOT NULL,
    endpoint           text NOT NULL,
    tier               text,
    requested_model    text,
    provider           text,
    model              text,
    status             integer NOT NULL,
    error_code         text,
    end_reason         text NOT NULL,
    stream             boolean NOT NULL DEFAULT false,
    attempts           jsonb NOT NULL DEFAULT '[]',
    prompt_tokens      bigint,
    completion_tokens  bigint,
    cached_tokens      bigint,
    cache_write_tokens bigint,
    reasoning_tokens   bigint,
    total_tokens       bigint,
    usage_source       text NOT NULL DEFAULT 'none' CHECK (usage_source IN ('provider', 'estimated', 'none')),
    cost_nusd          bigint,
    price_id           text,
    latency_ms         double precision,
    ttft_ms            double precision,
    overhead_ms        double precision,
    "user"             text,
    tags               text[],
    gateway_version    text NOT NULL,
    worker_id          text NOT NULL,
    details            jsonb,
    seq                bigint GENERATED ALWAYS AS IDENTITY,
    ingest_xid         xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (created_at, call_id)
) PARTITION BY RANGE (created_at);

CREATE INDEX IF NOT EXISTS request_logs_by_project ON request_logs (project_id, created_at DESC);
CREATE INDEX IF NOT EXISTS request_logs_by_request ON request_logs (request_id);
CREATE INDEX IF NOT EXISTS request_logs_by_ingest ON request_logs (ingest_xid, seq);

-- Rows whose day has no partition yet (a clock far off, a journal found late) still land.
CREATE TABLE IF NOT EXISTS request_logs_default PARTITION OF request_logs DEFAULT;

-- Rows that could not be inserted as they came: cleaned and recorded in request_logs, the original kept here.
CREATE TABLE IF NOT EXISTS quarantined_records (
    call_id    uuid PRIMARY KEY,
    worker_id  text NOT NULL,
    record     bytea NOT NULL,
    reason     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS usage_hourly (
    hour              timestamptz NOT NULL,
    org_id            text NOT NULL,
    project_id        text NOT NULL,
    key_id            text NOT NULL,
    provider          text NOT NULL,
    model             text NOT NULL,
    tier              text NOT NULL,
    usage_source      text NOT NULL,
    calls             bigint NOT NULL DEFAULT 0,
    errors            bigint NOT NULL DEFAULT 0,
    streams           bigint NOT NULL DEFAULT 0,
    prompt_tokens     bigint NOT NULL DEFAULT 0,
    completion_tokens bigint NOT NULL DEFAULT 0,
    cached_tokens     bigint NOT NULL DEFAULT 0,
    reasoning_tokens  bigint NOT NULL DEFAULT 0,
    cost_nusd         bigint NOT NULL DEFAULT 0,
    unpriced_calls    bigint NOT NULL DEFAULT 0,
    latency_ms_sum    double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (hour, project_id, key_id, provider, model, tier, usage_source)
);

CREATE INDEX IF NOT EXISTS usage_hourly_by_project ON usage_hourly (project_id, hour);

CREATE TABLE IF NOT EXISTS key_usage (
    key_id       text PRIMARY KEY,
    last_used_at timestamptz NOT NULL,
    calls        bigint NOT NULL DEFAULT 0,
    cost_nusd    bigint NOT NULL DEFAULT 0
);

CREATE TABLE IF NOT EXISTS payloads (
    created_at timestamptz NOT NULL,
    call_id    uuid NOT NULL,
    request_id text NOT NULL,
    project_id text NOT NULL,
    part       text NOT NULL CHECK (part IN ('request', 'response')),
    sealed     bytea NOT NULL,
    redactions integer NOT NULL DEFAULT 0,
    truncated  boolean NOT NULL DEFAULT false,
    PRIMARY KEY (created_at, call_id, part)
) PARTITION BY RANGE (created_at);

CREATE INDEX IF NOT EXISTS payloads_by_request ON payloads (request_id);
CREATE TABLE IF NOT EXISTS payloads_default PARTITION OF payloads DEFAULT;
