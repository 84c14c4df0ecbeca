-- A role for people who analyse and programs that draw. It reads every view and
-- table, the keyed hashes of people among them, for without those no question
-- about people can be asked; not the raw records that keep_raw keeps of what
-- could not be decoded, for those hold user ids. Run it as a user who may make
-- roles; run it again after an upgrade.
CREATE ROLE IF NOT EXISTS overreach_reader{cluster};

-- Change the figures to fit the server: they stay when this is run again. Ingest
-- inserts small blocks and needs little; what starves it is memory and threads.
-- readonly = 2: clients may choose settings within these bounds, and write nothing.
CREATE SETTINGS PROFILE IF NOT EXISTS overreach_reader{cluster} SETTINGS
    readonly = 2,
    max_memory_usage = 4000000000 MAX 4000000000,
    max_memory_usage_for_user = 8000000000 CONST,
    max_bytes_before_external_group_by = 2000000000,
    max_bytes_before_external_sort = 2000000000,
    max_execution_time = 120 MAX 900,
    max_threads = 4 MAX 4,
    max_concurrent_queries_for_user = 8 CONST
    TO overreach_reader;

GRANT{cluster} SELECT ON {database}.access_events TO overreach_reader;
GRANT{cluster} SELECT ON {database}.alert_precision TO overreach_reader;
GRANT{cluster} SELECT ON {database}.coverage TO overreach_reader;
GRANT{cluster} SELECT ON {database}.deliveries TO overreach_reader;
GRANT{cluster} SELECT ON {database}.duplicate_ids TO overreach_reader;
GRANT{cluster} SELECT ON {database}.files TO overreach_reader;
GRANT{cluster} SELECT ON {database}.finding_actions TO overreach_reader;
GRANT{cluster} SELECT ON {database}.finding_changes TO overreach_reader;
GRANT{cluster} SELECT ON {database}.finding_delays TO overreach_reader;
GRANT{cluster} SELECT ON {database}.findings TO overreach_reader;
GRANT{cluster} SELECT ON {database}.findings_log TO overreach_reader;
GRANT{cluster} SELECT ON {database}.granted_vs_used TO overreach_reader;
GRANT{cluster} SELECT ON {database}.judged TO overreach_reader;
GRANT{cluster} SELECT ON {database}.normalisations TO overreach_reader;
GRANT{cluster} SELECT ON {database}.partner_days TO overreach_reader;
GRANT{cluster} SELECT ON {database}.people_30d TO overreach_reader;
GRANT{cluster} SELECT ON {database}.people_daily TO overreach_reader;
GRANT{cluster} SELECT ON {database}.people_monthly TO overreach_reader;
GRANT{cluster} SELECT ON {database}.registry_grants TO overreach_reader;
GRANT{cluster} SELECT ON {database}.registry_versions TO overreach_reader;
GRANT{cluster} SELECT(pinned, incarnation, partition, offset, item, time, reason, detail, outline, size) ON {database}.rejects TO overreach_reader;
GRANT{cluster} SELECT ON {database}.rejects_by_reason TO overreach_reader;
GRANT{cluster} SELECT ON {database}.schema_migrations TO overreach_reader;
GRANT{cluster} SELECT ON {database}.scores TO overreach_reader;
GRANT{cluster} SELECT ON {database}.silences TO overreach_reader;
GRANT{cluster} SELECT ON {database}.skips TO overreach_reader;
GRANT{cluster} SELECT ON {database}.incarnations TO overreach_reader;
GRANT{cluster} SELECT ON {database}.triage TO overreach_reader;
GRANT{cluster} SELECT ON {database}.usage TO overreach_reader;
GRANT{cluster} SELECT ON {database}.watermark_stalls TO overreach_reader;

-- Then, for each person or program:
-- CREATE USER ada IDENTIFIED BY '...' DEFAULT ROLE overreach_reader;
-- and for one who exists: GRANT overreach_reader TO ada; SET DEFAULT ROLE overreach_reader TO ada;
