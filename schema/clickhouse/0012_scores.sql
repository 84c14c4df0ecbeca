-- How unusual each key was in each closed bucket.

CREATE TABLE IF NOT EXISTS scores
(
    detector   LowCardinality(String) COMMENT 'What scored it',
    partner    String                 COMMENT 'The third party',
    capability String                 COMMENT 'Part of the API; empty: all of the partner''s',
    app        String                 COMMENT 'One of the partner''s clients; empty: all',
    action     Enum8('' = 0, 'read' = 1, 'write' = 2, 'delete' = 3) COMMENT 'What the calls did to the data; empty: all',
    metric     LowCardinality(String) COMMENT 'What was counted: accesses, people (estimated) or bytes',
    bucket     DateTime('UTC')        COMMENT 'Start of the closed bucket of event time, UTC',
    resolution Enum8('minute' = 1, 'hour' = 2, 'day' = 3) COMMENT 'Width of the bucket',
    observed   Float64                COMMENT 'What was counted, in the metric''s unit',
    expected   Float64                COMMENT 'Median under the baseline, in the metric''s unit',
    low        Float64                COMMENT 'Lower end of what 99 of 100 ordinary buckets are between',
    high       Float64                COMMENT 'Upper end of it',
    chance     Float64                COMMENT 'Chance of this much or more in one ordinary bucket; 1: nothing to compare with',
    score      Float64                COMMENT 'Chance of it in any bucket of any key of this partner and capability in an ordinary year, 0 to 1: the lower, the more unusual',
    threshold  Float64                COMMENT 'Score at or under which it made a finding then',
    maturity   LowCardinality(String) COMMENT 'What the baseline rests on: learning (too little), thin or mature',
    offsets    UInt64                 COMMENT 'Version: sum of the greatest offsets counted, over every partition',
    scored     Date DEFAULT today()   COMMENT 'UTC day on which it was scored, by the wall clock: decides how long the row is kept'
)
ENGINE = ReplacingMergeTree(offsets)
PARTITION BY toStartOfMonth(bucket)
ORDER BY (detector, partner, capability, app, action, metric, resolution, bucket)
TTL scored + toIntervalDay(400)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'How unusual each key of a registered partner was in each closed hour of a day on which the partner was active, whether it made a finding or not. Kept for 400 days. Read it with FINAL';
