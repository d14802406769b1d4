DROP TABLE IF EXISTS payloads;
DROP TABLE IF EXISTS key_usage;
DROP TABLE IF EXISTS usage_hourly;
DROP TABLE IF EXISTS quarantined_records;
DROP TABLE IF EXISTS request_logs;
