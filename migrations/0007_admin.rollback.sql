DROP INDEX IF EXISTS admin_idempotency_by_age;
ALTER TABLE audit_log DROP COLUMN IF EXISTS object_name;
