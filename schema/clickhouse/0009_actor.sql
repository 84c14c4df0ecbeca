-- A person's rows are found fast also where the person is the one who consented.

ALTER TABLE access_events ADD INDEX IF NOT EXISTS by_actor actor TYPE bloom_filter(0.01) GRANULARITY 1;
