-- Why: a list of projects read a month of hourly sums of every key; a project's day is one row. Triggers keep it the sum of its hours
-- whatever moves them, also workers of an older version while they are being replaced.
-- depends: 0006_catalog_epoch

-- A day is the org's: an hour belongs to the day in which it begins there.
CREATE TABLE IF NOT EXISTS usage_daily (
    project_id        text NOT NULL,
    day               date NOT NULL,
    org_id            text NOT NULL,
    calls             bigint NOT NULL DEFAULT 0,
    errors            bigint NOT NULL DEFAULT 0,
    prompt_tokens     bigint NOT NULL DEFAULT 0,
    completion_tokens bigint NOT NULL DEFAULT 0,
    cached_tokens     bigint NOT NULL DEFAULT 0,
    cost_nusd         bigint NOT NULL DEFAULT 0,
    unpriced_calls    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (project_id, day)
);

CREATE INDEX IF NOT EXISTS usage_daily_by_org ON usage_daily (org_id);

-- What a key spent this month and did in the last day: the lists of keys, and budgets of keys.
CREATE INDEX IF NOT EXISTS usage_hourly_by_key ON usage_hourly (key_id, hour);

-- Calls are recorded also for an org whose zone this Postgres does not know: its days are UTC's.
CREATE OR REPLACE FUNCTION known_zone(zone text) RETURNS text LANGUAGE plpgsql STABLE AS $body$
BEGIN
    PERFORM now() AT TIME ZONE zone;
    RETURN zone;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN 'UTC';
END
$body$;

-- Takes hours as they were from their days, and adds them as they are. Everybody takes the rows in the same order, so nobody waits in a
-- circle.
CREATE OR REPLACE FUNCTION move_days_of_hours() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO usage_daily AS d (project_id, day, org_id, calls, errors, prompt_tokens, completion_tokens, cached_tokens, cost_nusd,
            unpriced_calls)
        SELECT h.project_id, (h.hour AT TIME ZONE coalesce(z.zone, 'UTC'))::date, min(h.org_id), -sum(h.calls), -sum(h.errors),
            -sum(h.prompt_tokens), -sum(h.completion_tokens), -sum(h.cached_tokens), -sum(h.cost_nusd), -sum(h.unpriced_calls)
        FROM stale h
        LEFT JOIN (SELECT id, known_zone(timezone) AS zone FROM orgs) AS z ON z.id = h.org_id
        GROUP BY 1, 2
        ORDER BY 1, 2
        ON CONFLICT (project_id, day) DO UPDATE SET
            calls = d.calls + excluded.calls, errors = d.errors + excluded.errors, prompt_tokens = d.prompt_tokens + excluded.prompt_tokens,
            completion_tokens = d.completion_tokens + excluded.completion_tokens, cached_tokens = d.cached_tokens + excluded.cached_tokens,
            cost_nusd = d.cost_nusd + excluded.cost_nusd, unpriced_calls = d.unpriced_calls + excluded.unpriced_calls;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO usage_daily AS d (project_id, day, org_id, calls, errors, prompt_tokens, completion_tokens, cached_tokens, cost_nusd,
            unpriced_calls)
        SELECT h.project_id, (h.hour AT TIME ZONE coalesce(z.zone, 'UTC'))::date, min(h.org_id), sum(h.calls), sum(h.errors),
            sum(h.prompt_tokens), sum(h.completion_tokens), sum(h.cached_tokens), sum(h.cost_nusd), sum(h.unpriced_calls)
        FROM fresh h
        LEFT JOIN (SELECT id, known_zone(timezone) AS zone FROM orgs) AS z ON z.id = h.org_id
        GROUP BY 1, 2
        ORDER BY 1, 2
        ON CONFLICT (project_id, day) DO UPDATE SET
            calls = d.calls + excluded.calls, errors = d.errors + excluded.errors, prompt_tokens = d.prompt_tokens + excluded.prompt_tokens,
            completion_tokens = d.completion_tokens + excluded.completion_tokens, cached_tokens = d.cached_tokens + excluded.cached_tokens,
            cost_nusd = d.cost_nusd + excluded.cost_nusd, unpriced_calls = d.unpriced_calls + excluded.unpriced_calls;
    END IF;
    RETURN NULL;
END
$body$;

-- The days of an org from its hours: when its zone changes. Whoever records meanwhile waits, and then uses the new zone.
CREATE OR REPLACE FUNCTION begin_days_anew(org text) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    LOCK TABLE usage_hourly IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM usage_daily WHERE org_id = org;
    INSERT INTO usage_daily (project_id, day, org_id, calls, errors, prompt_tokens, completion_tokens, cached_tokens, cost_nusd,
        unpriced_calls)
    SELECT h.project_id, (h.hour AT TIME ZONE z.zone)::date, org, sum(h.calls), sum(h.errors), sum(h.prompt_tokens),
        sum(h.completion_tokens), sum(h.cached_tokens), sum(h.cost_nusd), sum(h.unpriced_calls)
    FROM usage_hourly h
    CROSS JOIN (SELECT coalesce((SELECT known_zone(timezone) FROM orgs WHERE id = org), 'UTC') AS zone) AS z
    WHERE h.org_id = org
    GROUP BY 1, 2;
END
$body$;

CREATE OR REPLACE FUNCTION begin_days_of_org_anew() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM begin_days_anew(NEW.id);
    RETURN NULL;
END
$body$;

CREATE OR REPLACE TRIGGER usage_hourly_new_days AFTER INSERT ON usage_hourly REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION move_days_of_hours();
CREATE OR REPLACE TRIGGER usage_hourly_moved_days AFTER UPDATE ON usage_hourly REFERENCING OLD TABLE AS stale NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION move_days_of_hours();
CREATE OR REPLACE TRIGGER usage_hourly_gone_days AFTER DELETE ON usage_hourly REFERENCING OLD TABLE AS stale
    FOR EACH STATEMENT EXECUTE FUNCTION move_days_of_hours();
CREATE OR REPLACE TRIGGER orgs_days AFTER UPDATE OF timezone ON orgs
    FOR EACH ROW WHEN (OLD.timezone <> NEW.timezone) EXECUTE FUNCTION begin_days_of_org_anew();

DO $body$
BEGIN
    PERFORM begin_days_anew(org_id) FROM (SELECT DISTINCT org_id FROM usage_hourly) AS of_hours;
END
$body$;
