-- Why: the admin API names the object of an entry in the audit as it was called then, and forgets kept answers by their age.
-- depends: 0006_catalog_epoch

ALTER TABLE audit_log ADD COLUMN IF NOT EXISTS object_name text;

CREATE INDEX IF NOT EXISTS admin_idempotency_by_age ON admin_idempotency (created_at);
