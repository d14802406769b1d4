DROP TABLE IF EXISTS admin_idempotency;
DROP TABLE IF EXISTS audit_log;
DROP TABLE IF EXISTS repricings;
DROP TABLE IF EXISTS billing_entries;
DROP TABLE IF EXISTS billing_accounts;
