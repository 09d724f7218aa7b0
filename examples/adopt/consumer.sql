-- A consumer of its own in SQL: run it every minute, from cron by psql or from pg_cron.
SELECT reconciler.catch_up();
