ALTER TABLE repricings DROP COLUMN IF EXISTS finished_at, DROP COLUMN IF EXISTS rows_seen, DROP COLUMN IF EXISTS model, DROP COLUMN IF EXISTS provider;
DROP TRIGGER IF EXISTS billing_entries_append_only ON billing_entries;
DROP FUNCTION IF EXISTS refuse_change();
DROP INDEX IF EXISTS billing_entries_by_month;
ALTER TABLE billing_entries DROP COLUMN IF EXISTS provider, DROP COLUMN IF EXISTS month;
DROP TABLE IF EXISTS billing_periods;
