-- Why: where calls can go and what they cost there: providers, models, dated prices, tiers, and what an operator sets for the gateway.
-- depends: 0001_accounts

-- `base_url` and `credential_source` may be `env:NAME`: read from the environment anew at each start. A stored credential is
-- sealed with OPTYX_SECRET_KEY (AES-256-GCM, nonce first; the associated data is the row's id and credential_version).
CREATE TABLE IF NOT EXISTS providers (
    id                 text PRIMARY KEY,
    name               text NOT NULL UNIQUE,
    kind               text NOT NULL CHECK (kind IN ('openai', 'google', 'anthropic')),
    base_url           text NOT NULL,
    credential_source  text NOT NULL DEFAULT 'none',
    credential_sealed  bytea,
    credential_version bigint NOT NULL DEFAULT 0,
    enabled            boolean NOT NULL DEFAULT true,
    is_sandbox         boolean NOT NULL DEFAULT false,
    timeouts           jsonb NOT NULL DEFAULT '{}',
    max_connections    integer NOT NULL DEFAULT 2000 CHECK (max_connections > 0),
    on_disconnect      text NOT NULL DEFAULT 'cancel' CHECK (on_disconnect IN ('cancel', 'drain')),
    position           integer NOT NULL DEFAULT 100,
    version            bigint NOT NULL DEFAULT 1,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS models (
    id                text NOT NULL,
    provider_id       text NOT NULL REFERENCES providers (id),
    upstream_name     text NOT NULL,
    mode              text NOT NULL CHECK (mode IN ('chat', 'embedding')),
    max_input_tokens  bigint,
    max_output_tokens bigint,
    enabled           boolean NOT NULL DEFAULT true,
    is_free           boolean NOT NULL DEFAULT false,
    version           bigint NOT NULL DEFAULT 1,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider_id, id)
);

CREATE INDEX IF NOT EXISTS models_by_id ON models (id);

-- Nano-USD per million tokens. A price holds from `effective_from` until the next one of the same model. Never changed once a call
-- has used it: a correction is a new row.
CREATE TABLE IF NOT EXISTS prices (
    id                      text PRIMARY KEY,
    provider_id             text NOT NULL,
    model_id                text NOT NULL,
    effective_from          timestamptz NOT NULL,
    input_nusd              bigint NOT NULL CHECK (input_nusd >= 0),
    output_nusd             bigint NOT NULL CHECK (output_nusd >= 0),
    cached_input_nusd       bigint CHECK (cached_input_nusd >= 0),
    cache_write_nusd        bigint CHECK (cache_write_nusd >= 0),
    above_tokens            bigint,
    above_input_nusd        bigint CHECK (above_input_nusd >= 0),
    above_output_nusd       bigint CHECK (above_output_nusd >= 0),
    above_cached_input_nusd bigint CHECK (above_cached_input_nusd >= 0),
    above_cache_write_nusd  bigint CHECK (above_cache_write_nusd >= 0),
    source                  text NOT NULL,
    created_at              timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (provider_id, model_id) REFERENCES models (provider_id, id),
    UNIQUE (provider_id, model_id, effective_from)
);

CREATE TABLE IF NOT EXISTS tiers (
    name       text PRIMARY KEY,
    mode       text NOT NULL CHECK (mode IN ('chat', 'embedding')),
    version    bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS tier_targets (
    tier        text NOT NULL REFERENCES tiers (name) ON DELETE CASCADE,
    position    integer NOT NULL,
    provider_id text NOT NULL,
    model_id    text NOT NULL,
    timeouts    jsonb,
    PRIMARY KEY (tier, position),
    FOREIGN KEY (provider_id, model_id) REFERENCES models (provider_id, id)
);

CREATE TABLE IF NOT EXISTS settings (
    name       text PRIMARY KEY,
    value      jsonb NOT NULL,
    updated_by text,
    updated_at timestamptz NOT NULL DEFAULT now()
);
