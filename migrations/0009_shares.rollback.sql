DROP TABLE IF EXISTS budget_alerts;
ALTER TABLE budget_shares DROP COLUMN IF EXISTS used_nusd;
