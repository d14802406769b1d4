-- Why: the books can be closed and corrected: which months are closed and at what, and what a repricing did.
-- depends: 0006_catalog_epoch

-- A closed month of an account. `posted_nusd` is what its usage entries and their adjustments add up to, as a cost: positive.
CREATE TABLE IF NOT EXISTS billing_periods (
    account_id   text NOT NULL REFERENCES billing_accounts (id),
    month        text NOT NULL CHECK (month ~ '^[0-9]{4}-[0-9]{2}$'),
    timezone     text NOT NULL,
    period_start timestamptz NOT NULL,
    period_end   timestamptz NOT NULL,
    posted_nusd  bigint NOT NULL,
    closed_by    text,
    closed_at    timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, month)
);

ALTER TABLE billing_entries ADD COLUMN IF NOT EXISTS month text;
ALTER TABLE billing_entries ADD COLUMN IF NOT EXISTS provider text;

CREATE INDEX IF NOT EXISTS billing_entries_by_month ON billing_entries (account_id, month);

CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION '% is append-only: write another entry that corrects this one', TG_TABLE_NAME;
END
$body$;

CREATE OR REPLACE TRIGGER billing_entries_append_only BEFORE UPDATE OR DELETE ON billing_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

ALTER TABLE repricings ADD COLUMN IF NOT EXISTS provider text;
ALTER TABLE repricings ADD COLUMN IF NOT EXISTS model text;
ALTER TABLE repricings ADD COLUMN IF NOT EXISTS rows_seen bigint NOT NULL DEFAULT 0;
ALTER TABLE repricings ADD COLUMN IF NOT EXISTS finished_at timestamptz;
