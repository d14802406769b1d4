-- Why: workers keep the catalog in memory; every change of configuration moves one counter and wakes them. The counter is what
-- they poll when a notification is lost.
-- depends: 0005_books

CREATE TABLE IF NOT EXISTS catalog_epoch (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    value    bigint NOT NULL
);

INSERT INTO catalog_epoch (value) VALUES (1) ON CONFLICT DO NOTHING;

CREATE OR REPLACE FUNCTION bump_catalog_epoch() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    UPDATE catalog_epoch SET value = value + 1;
    PERFORM pg_notify('optyx_catalog', TG_TABLE_NAME);
    RETURN NULL;
END
$body$;

-- Keys come in thousands: a worker reloads the one that changed.
CREATE OR REPLACE FUNCTION bump_key_epoch() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    UPDATE catalog_epoch SET value = value + 1;
    PERFORM pg_notify('optyx_catalog', 'api_keys:' || coalesce(NEW.id, OLD.id));
    RETURN NULL;
END
$body$;

CREATE OR REPLACE FUNCTION bump_rotation_epoch() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    UPDATE catalog_epoch SET value = value + 1;
    PERFORM pg_notify('optyx_catalog', 'api_keys:' || coalesce(NEW.key_id, OLD.key_id));
    RETURN NULL;
END
$body$;

CREATE OR REPLACE TRIGGER orgs_epoch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON orgs FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog_epoch();
CREATE OR REPLACE TRIGGER projects_epoch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON projects FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog_epoch();
CREATE OR REPLACE TRIGGER project_settings_epoch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON project_settings FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog_epoch();
CREATE OR REPLACE TRIGGER providers_epoch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON providers FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog_epoch();
CREATE OR REPLACE TRIGGER models_epoch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON models FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog_epoch();
CREATE OR REPLACE TRIGGER prices_epoch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON prices FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog_epoch();
CREATE OR REPLACE TRIGGER tiers_epoch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tiers FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog_epoch();
CREATE OR REPLACE TRIGGER tier_targets_epoch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tier_targets FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog_epoch();
CREATE OR REPLACE TRIGGER settings_epoch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON settings FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog_epoch();
CREATE OR REPLACE TRIGGER limits_epoch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON limits FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog_epoch();
CREATE OR REPLACE TRIGGER budgets_epoch AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON budgets FOR EACH STATEMENT EXECUTE FUNCTION bump_catalog_epoch();
CREATE OR REPLACE TRIGGER api_keys_epoch AFTER INSERT OR UPDATE OR DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION bump_key_epoch();
CREATE OR REPLACE TRIGGER rotated_secrets_epoch AFTER INSERT OR UPDATE OR DELETE ON rotated_secrets FOR EACH ROW EXECUTE FUNCTION bump_rotation_epoch();
