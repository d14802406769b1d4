DROP INDEX IF EXISTS request_logs_by_trace;
