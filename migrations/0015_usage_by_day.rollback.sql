CREATE INDEX IF NOT EXISTS usage_daily_by_org ON usage_daily (org_id);
DROP INDEX IF EXISTS usage_daily_by_org_day;
