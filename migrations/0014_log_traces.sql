-- Why: the calls of one trace (the W3C trace id of a caller's traceparent) are found together, however old they are.
-- depends: 0013_key_addresses

-- Of calls without a traceparent it holds nothing. A tree in the order of time, not a hash: a caller that sends one traceparent with all of its
-- calls has its last hundred found as quickly, and the planner never takes a walk through time for the shorter way (it did, beside a hash).
-- While it is built the logbook waits, and calls go on.
CREATE INDEX IF NOT EXISTS request_logs_by_trace
    ON request_logs ((substring(details ->> 'traceparent' FROM 4 FOR 32)), created_at DESC)
    WHERE substring(details ->> 'traceparent' FROM 4 FOR 32) IS NOT NULL;
