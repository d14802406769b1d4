-- Why: a worker that finds a budget empty must know at once whether others hold unused parts of it; and a soft budget says so once.
-- depends: 0006_catalog_epoch

-- `used_nusd`: how much of a share its worker, when last asked, said was in use. The rest may come back if it is asked for.
ALTER TABLE budget_shares ADD COLUMN IF NOT EXISTS used_nusd bigint NOT NULL DEFAULT 0;

-- One row a window and threshold, whoever notices first; also the outbox of the webhook: tried until `delivered_at` or too often.
CREATE TABLE IF NOT EXISTS budget_alerts (
    budget_id    text NOT NULL REFERENCES budgets (id) ON DELETE CASCADE,
    subject      text NOT NULL,
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL,
    percent      integer NOT NULL CHECK (percent BETWEEN 1 AND 100),
    spent_nusd   bigint NOT NULL,
    amount_nusd  bigint NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    attempts     integer NOT NULL DEFAULT 0,
    next_try_at  timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    PRIMARY KEY (budget_id, subject, window_start, percent)
);

CREATE INDEX IF NOT EXISTS budget_alerts_by_time ON budget_alerts (created_at);
CREATE INDEX IF NOT EXISTS budget_alerts_waiting ON budget_alerts (next_try_at) WHERE delivered_at IS NULL;
