"""The coordinator's tables: budget windows with their shares, and the sliding minutes of rates."""

from __future__ import annotations

WINDOW_FOR_UPDATE = """
SELECT w.spent_nusd, b.amount_nusd + CASE WHEN b.raise_until > now() THEN b.raise_nusd ELSE 0 END
FROM budget_windows w
JOIN budgets b ON b.id = w.budget_id
WHERE w.budget_id = $1 AND w.subject = $2 AND w.window_start = $3
FOR UPDATE OF w
"""

HAS_WINDOW = """
SELECT true FROM budget_windows WHERE budget_id = $1 AND subject = $2 AND window_start = $3
"""

LOCK_BUDGETS = "SELECT pg_advisory_xact_lock($1)"

CREATE_WINDOW = """
INSERT INTO budget_windows (budget_id, subject, window_start, window_end, spent_nusd)
SELECT b.id, $2, $3, $4, coalesce((
    SELECT sum(r.cost_nusd) FROM request_logs r
    WHERE r.created_at >= $3 AND r.created_at < $4
        AND CASE b.scope WHEN 'org' THEN r.org_id = b.subject WHEN 'key' THEN r.key_id = b.subject ELSE r.project_id = b.subject END
        AND (b.scope <> 'user' OR r."user" = $2)
        AND (b.model = '' OR r.model = b.model)
        AND (b.tier = '' OR r.tier = b.tier)
), 0)
FROM budgets b
WHERE b.id = $1
ON CONFLICT DO NOTHING
"""

SHARES_OF_WINDOW = """
SELECT worker_id, amount_nusd FROM budget_shares
WHERE budget_id = $1 AND subject = $2 AND window_start = $3 AND expires_at > now()
"""

DROP_EXPIRED = """
DELETE FROM budget_shares WHERE budget_id = $1 AND subject = $2 AND window_start = $3 AND expires_at <= now()
"""

GRANT_SHARE = """
INSERT INTO budget_shares (budget_id, subject, window_start, worker_id, amount_nusd, expires_at)
VALUES ($1, $2, $3, $4, $5, now() + $6 * interval '1 second')
ON CONFLICT (budget_id, subject, window_start, worker_id)
    DO UPDATE SET amount_nusd = budget_shares.amount_nusd + excluded.amount_nusd, expires_at = excluded.expires_at
"""

RETURN_SHARES = """
UPDATE budget_shares s SET amount_nusd = greatest(0, s.amount_nusd - g.amount)
FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::bigint[]) AS g (budget_id, subject, window_start, amount)
WHERE s.worker_id = $1 AND s.budget_id = g.budget_id AND s.subject = g.subject AND s.window_start = g.window_start
"""

DROP_EMPTY = "DELETE FROM budget_shares WHERE worker_id = $1 AND amount_nusd = 0"

RENEW_SHARES = """
UPDATE budget_shares SET expires_at = now() + $2 * interval '1 second' WHERE worker_id = $1
"""

ASK_BACK = "SELECT pg_notify('optyx_shares', $1)"

CREATE_RATE = """
INSERT INTO rate_windows (limit_id, dimension, subject) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""

RATE_FOR_UPDATE = """
SELECT grants::text, extract(epoch FROM clock_timestamp())::float8 FROM rate_windows
WHERE limit_id = $1 AND dimension = $2 AND subject = $3
FOR UPDATE
"""

WRITE_RATE = """
UPDATE rate_windows SET grants = $4::jsonb, updated_at = now() WHERE limit_id = $1 AND dimension = $2 AND subject = $3
"""

DROP_OLD_RATES = "DELETE FROM rate_windows WHERE updated_at < now() - interval '10 minutes'"

DROP_SHARES_OF_GONE = """
DELETE FROM budget_shares WHERE expires_at < now() - interval '1 minute'
"""
