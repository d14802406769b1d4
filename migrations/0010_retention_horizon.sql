-- Why: a record whose day was dropped by retention must not come back: what retention has taken is remembered by more than its absence.
-- depends: 0006_catalog_epoch

CREATE TABLE IF NOT EXISTS retention_horizons (
    name           text PRIMARY KEY,
    dropped_before timestamptz NOT NULL
);
