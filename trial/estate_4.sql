-- What the estate has since its fourth version: a training job that saves itself when it is asked to, and a role that only looks.

-- Whoever may call it sets a wish; the job sees it at its next step. Not for the public: what runs with its owner's rights would be reach.
ALTER TABLE models.jobs ADD COLUMN IF NOT EXISTS wants_checkpoint boolean NOT NULL DEFAULT false;
CREATE OR REPLACE FUNCTION models.checkpoint() RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
    AS 'UPDATE models.jobs SET wants_checkpoint = true';
REVOKE ALL ON FUNCTION models.checkpoint() FROM PUBLIC;
CREATE OR REPLACE VIEW models.newest_checkpoint AS SELECT job, max(at) AS at FROM models.checkpoints GROUP BY job;

-- For dry runs: it sees the catalogue and who is connected, and no table. Its password is set by whoever starts the cluster.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_look') THEN
        CREATE ROLE holdfast_look LOGIN;
    END IF;
    GRANT pg_monitor TO holdfast_look;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO holdfast_look', current_database());
END
$$;
