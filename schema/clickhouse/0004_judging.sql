-- How far the judge has come, and how unusual each key was.

CREATE TABLE IF NOT EXISTS judged
(
    slot      UInt8           COMMENT 'Slot of partners: low byte of FNV-1a (32 bit) of the name',
    cadence   Enum8('minute' = 1, 'hour' = 2, 'day' = 3, 'closed hour' = 4, 'closed day' = 5) COMMENT 'What was judged: windows that slide in steps of a minute, hour or day; hours of the clock, or days and weeks, once they are closed',
    incarnation String          COMMENT 'Incarnation of a topic: cluster/topic@number',
    partition Int32           COMMENT 'Kafka partition',
    to_offset Int64           COMMENT 'Kafka offset up to which usage has been judged',
    watermark DateTime('UTC') COMMENT 'Event time up to which all was read, UTC',
    registry  UInt32          COMMENT 'Number of the registry''s version',
    version   UInt128 MATERIALIZED bitShiftLeft(toUInt128(to_offset + 1), 64) + bitShiftLeft(toUInt128(registry), 40) + toUInt32(watermark) COMMENT 'Offset, registry and watermark as one number: the greatest replaces all others'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (slot, cadence, incarnation, partition)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'How far judging has come. Read it with FINAL';

CREATE TABLE IF NOT EXISTS watermark_stalls
(
    incarnation  String   COMMENT 'Incarnation of a topic: cluster/topic@number',
    partition    Int32    COMMENT 'Kafka partition',
    latest       DateTime64(3, 'UTC') COMMENT 'The partition''s own time when it stood: of its latest event, of its latest record where it has no event, UTC; 1970: it has neither',
    to_offset    Int64    COMMENT 'Kafka offset up to which it was counted',
    backlog      Int64    COMMENT 'Kafka offset at which ends what waits to be counted and is not; 0: counting keeps up with its end, only its time stands',
    stood        UInt32   COMMENT 'For how long it was seen to stand, in seconds, at most time.stalled_after',
    left_out     Bool     COMMENT 'Whether the watermark leaves it out: what comes of it later is late',
    unread_since Nullable(DateTime64(3, 'UTC')) COMMENT 'Event time from which on its records may not have been counted, UTC; NULL where counting keeps up with its end',
    seen         DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When that was written, by ClickHouse''s clock, UTC: the latest replaces all others'
)
ENGINE = ReplacingMergeTree(seen)
ORDER BY (incarnation, partition)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Partitions whose own time stood still though they were behind. Read it with FINAL';

CREATE TABLE IF NOT EXISTS scores
(
    detector   LowCardinality(String) COMMENT 'What scored it',
    partner    String                 COMMENT 'The third party',
    capability String                 COMMENT 'Part of the API; empty: all of the partner''s',
    app        String                 COMMENT 'One of the partner''s clients; empty: all',
    action     Enum8('' = 0, 'read' = 1, 'write' = 2, 'delete' = 3) COMMENT 'What the calls did to the data; empty: all',
    metric     LowCardinality(String) COMMENT 'What was counted: accesses, people (estimated), bytes, new_people (of a day, not touched in the 28 days before; estimated), or mix: the share of accesses that moved',
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
COMMENT 'How unusual each key of a registered partner was in each closed hour from its first access of a day to the day''s end, and in each closed day and week, whether it made a finding or not. Kept for 400 days. Read it with FINAL';
