CREATE INDEX IF NOT EXISTS request_logs_by_request ON request_logs (request_id);
DROP INDEX IF EXISTS request_logs_by_request_id;
DROP INDEX IF EXISTS request_logs_by_call;
DROP INDEX IF EXISTS request_logs_errors;
DROP INDEX IF EXISTS request_logs_by_key;
