"""The coordinator's tables: budget windows with their shares, and the sliding minutes of rates.

Windows are always locked in the order of (budget, subject, start) by bytes, here and where records are ingested, so that nobody waits in
a circle. A worker touches nobody's shares but its own, unless they have expired.
"""

from __future__ import annotations

LOCK_WINDOWS = """
SELECT w.budget_id, w.subject, extract(epoch FROM w.window_start)::float8, w.spent_nusd,
    b.amount_nusd + CASE WHEN b.raise_until > now() THEN b.raise_nusd ELSE 0 END
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS g (budget_id, subject, window_start)
JOIN budget_windows w USING (budget_id, subject, window_start)
JOIN budgets b ON b.id = w.budget_id
ORDER BY w.budget_id COLLATE "C", w.subject COLLATE "C", w.window_start
FOR UPDATE OF w
"""

LOCK_BUDGETS = "SELECT pg_advisory_xact_lock($1)"

# Whole hours come from the rollup, which moves in the transaction of the rows; end users are not in it.
CREATE_WINDOW = """
INSERT INTO budget_windows (budget_id, subject, window_start, window_end, spent_nusd)
SELECT b.id, $2, $3, $4, CASE WHEN b.scope = 'user' THEN coalesce((
        SELECT sum(r.cost_nusd) FROM request_logs r
        WHERE r.project_id = b.subject AND r."user" = $2 AND r.created_at >= $3 AND r.created_at < $4
            AND (b.model = '' OR r.model = b.model) AND (b.tier = '' OR r.tier = b.tier)
    ), 0)
    ELSE coalesce((
        SELECT sum(u.cost_nusd) FROM usage_hourly u
        WHERE u.hour >= $3 AND u.hour + interval '1 hour' <= $4
            AND CASE b.scope WHEN 'org' THEN u.org_id WHEN 'key' THEN u.key_id ELSE u.project_id END = b.subject
            AND (b.model = '' OR u.model = b.model) AND (b.tier = '' OR u.tier = b.tier)
    ), 0) + coalesce((
        SELECT sum(r.cost_nusd) FROM request_logs r
        WHERE (r.created_at >= $3 AND r.created_at < least($4, $5) OR r.created_at >= greatest($3, $6) AND r.created_at < $4)
            AND CASE b.scope WHEN 'org' THEN r.org_id WHEN 'key' THEN r.key_id ELSE r.project_id END = b.subject
            AND (b.model = '' OR r.model = b.model) AND (b.tier = '' OR r.tier = b.tier)
    ), 0) END
FROM budgets b
WHERE b.id = $1
ON CONFLICT DO NOTHING
"""

# Per window: the sum of the shares, what others hold and may not need, how many others hold any, ours. Expired shares count until
# somebody may drop them ($5): who has not been in touch as long as a lease can't know that their worker is gone and not Postgres.
SHARES_OF_WINDOWS = """
WITH asked AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS g (budget_id, subject, window_start)
), dropped AS (
    DELETE FROM budget_shares s USING asked g
    WHERE s.budget_id = g.budget_id AND s.subject = g.subject AND s.window_start = g.window_start
        AND $5 AND s.expires_at <= now() AND s.worker_id <> $4
)
SELECT s.budget_id, s.subject, extract(epoch FROM s.window_start)::float8, sum(s.amount_nusd)::bigint,
    coalesce(sum(s.amount_nusd - s.used_nusd) FILTER (WHERE s.worker_id <> $4), 0)::bigint,
    count(*) FILTER (WHERE s.worker_id <> $4),
    coalesce(sum(s.amount_nusd) FILTER (WHERE s.worker_id = $4), 0)::bigint
FROM asked g
JOIN budget_shares s USING (budget_id, subject, window_start)
WHERE NOT ($5 AND s.expires_at <= now() AND s.worker_id <> $4)
GROUP BY 1, 2, 3
"""

GRANT_SHARES = """
INSERT INTO budget_shares (budget_id, subject, window_start, worker_id, amount_nusd, expires_at)
SELECT g.budget_id, g.subject, g.window_start, $5, g.amount, now() + $6 * interval '1 second'
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[]) AS g (budget_id, subject, window_start, amount)
ON CONFLICT (budget_id, subject, window_start, worker_id)
    DO UPDATE SET amount_nusd = budget_shares.amount_nusd + excluded.amount_nusd, expires_at = excluded.expires_at
"""

# Own shares are locked in one order as well: a worker has a second connection, which ingests.
RETURN_SHARES = """
WITH mine AS (
    SELECT s.budget_id, s.subject, s.window_start, greatest(0, s.amount_nusd - g.amount) AS amount_nusd
    FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[]) AS g (budget_id, subject, window_start, amount)
    JOIN budget_shares s USING (budget_id, subject, window_start)
    WHERE s.worker_id = $5
    ORDER BY s.budget_id COLLATE "C", s.subject COLLATE "C", s.window_start
    FOR UPDATE OF s
)
UPDATE budget_shares s SET amount_nusd = m.amount_nusd, used_nusd = m.amount_nusd
FROM mine m
WHERE s.worker_id = $5 AND s.budget_id = m.budget_id AND s.subject = m.subject AND s.window_start = m.window_start
"""

DROP_EMPTY = "DELETE FROM budget_shares WHERE worker_id = $1 AND amount_nusd = 0"

RENEW_SHARES = """
WITH mine AS (
    SELECT s.budget_id, s.subject, s.window_start, least(s.amount_nusd, g.amount) AS amount_nusd
    FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[]) AS g (budget_id, subject, window_start, amount)
    JOIN budget_shares s USING (budget_id, subject, window_start)
    WHERE s.worker_id = $5
    ORDER BY s.budget_id COLLATE "C", s.subject COLLATE "C", s.window_start
    FOR UPDATE OF s
)
UPDATE budget_shares s SET amount_nusd = m.amount_nusd, used_nusd = least(s.used_nusd, m.amount_nusd),
    expires_at = now() + $6 * interval '1 second'
FROM mine m
WHERE s.worker_id = $5 AND s.budget_id = m.budget_id AND s.subject = m.subject AND s.window_start = m.window_start
RETURNING s.budget_id, s.subject, extract(epoch FROM s.window_start)::float8, s.amount_nusd
"""

ASK_BACK = "SELECT pg_notify('optyx_shares', $1)"

CREATE_RATES = """
INSERT INTO rate_windows (limit_id, dimension, subject)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
ON CONFLICT DO NOTHING
"""

LOCK_RATES = """
SELECT r.limit_id, r.dimension, r.subject, r.grants::text, extract(epoch FROM clock_timestamp())::float8
FROM unnest($1::text[], $2::text[], $3::text[]) AS g (limit_id, dimension, subject)
JOIN rate_windows r USING (limit_id, dimension, subject)
ORDER BY r.limit_id COLLATE "C", r.dimension COLLATE "C", r.subject COLLATE "C"
FOR UPDATE OF r
"""

WRITE_RATES = """
UPDATE rate_windows r SET grants = g.grants::jsonb, updated_at = now()
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS g (limit_id, dimension, subject, grants)
WHERE r.limit_id = g.limit_id AND r.dimension = g.dimension AND r.subject = g.subject
"""

DROP_OLD_RATES = "DELETE FROM rate_windows WHERE updated_at < now() - interval '10 minutes'"

DROP_SHARES_OF_GONE = """
DELETE FROM budget_shares WHERE expires_at < now() - interval '10 minutes'
"""
