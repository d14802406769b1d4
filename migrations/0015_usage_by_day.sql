-- Why: a report over a month and the first screen read days of all projects of an org; without an index by day that is every day there ever was.
-- depends: 0012_usage_daily

CREATE INDEX IF NOT EXISTS usage_daily_by_org_day ON usage_daily (org_id, day);
DROP INDEX IF EXISTS usage_daily_by_org;
