-- Why: searching the log takes milliseconds and not a walk through it: by key, by error, by the ids that a client or a screen holds.
-- depends: 0006_catalog_epoch

-- Indexes of the parent reach every day, also those to come. What each costs the writer: docs/logs-and-privacy.md.
CREATE INDEX IF NOT EXISTS request_logs_by_key ON request_logs (key_id, created_at DESC, call_id DESC);

-- One row in thirty or so: errors are what is looked for most. The status is in it, so that a rare one is found without its rows.
CREATE INDEX IF NOT EXISTS request_logs_errors ON request_logs (created_at DESC, call_id DESC, status)
    WHERE status >= 400 OR error_code IS NOT NULL;

CREATE INDEX IF NOT EXISTS request_logs_by_call ON request_logs USING hash (call_id);

-- Also by the beginning of an id, whatever the database's collation.
CREATE INDEX IF NOT EXISTS request_logs_by_request_id ON request_logs (request_id text_pattern_ops);
DROP INDEX IF EXISTS request_logs_by_request;
