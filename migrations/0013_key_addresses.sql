-- Why: a key can be bound to the networks it may be used from, so that one that leaks is of no use elsewhere. NULL: from everywhere.
-- depends: 0012_usage_daily

ALTER TABLE api_keys ADD COLUMN IF NOT EXISTS allowed_addresses cidr[];
