-- What was read from Kafka: events, and what did not become one.

CREATE TABLE IF NOT EXISTS schema_migrations
(
    number  UInt32                 COMMENT 'Number of the migration, from 1',
    name    String                 COMMENT 'Name of the migration',
    sha256  String                 COMMENT 'SHA-256 of its file, hexadecimal',
    applied DateTime64(3, 'UTC')   COMMENT 'When it was applied, UTC; the latest time where two processes applied it'
)
ENGINE = ReplacingMergeTree(applied)
ORDER BY number
COMMENT 'Which steps brought these tables to their present shape';

CREATE TABLE IF NOT EXISTS access_events
(
    pinned      Date                 COMMENT 'UTC day on which the batch was pinned: decides how long the row is kept',
    stream      String               COMMENT 'Life of a topic that it was read from: cluster/topic@epoch',
    partition   Int32                COMMENT 'Kafka partition',
    offset      Int64                COMMENT 'Kafka offset of the record',
    item        UInt32               COMMENT 'Which item of the record, from 0',
    time        DateTime64(3, 'UTC') COMMENT 'When the call was made, by the event itself, UTC',
    partner     String               COMMENT 'The third party',
    app         String               COMMENT 'One of the partner''s clients; empty where the event names none',
    capability  String               COMMENT 'Part of the API that was called',
    action      Enum8('read' = 1, 'write' = 2, 'delete' = 3) COMMENT 'What the call did to the data',
    subject     UInt64               COMMENT 'Person whose data was touched, as a keyed hash',
    actor       UInt64               COMMENT 'Person on whose behalf the call was made, as a keyed hash; 0 for none',
    id          String               COMMENT 'The producer''s own id of the event; empty for none',
    api_version String               COMMENT 'Version of the API; empty for none',
    grant       String               COMMENT 'The grant that the partner says it uses; empty for none',
    status      Int32                COMMENT 'HTTP status, 0 for none; 401, 403, 429 and 5xx are attempts, all others accesses',
    records     Int64                COMMENT 'Records returned or changed',
    bytes       Int64                COMMENT 'Bytes returned or received',
    INDEX by_time    time    TYPE minmax GRANULARITY 1,
    INDEX by_offset  offset  TYPE minmax GRANULARITY 1,
    INDEX by_subject subject TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY pinned
ORDER BY (partner, toStartOfHour(time), capability, action, time)
TTL pinned + toIntervalDay(90)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1
COMMENT 'Every event as it was counted, identified by stream, partition, offset and item. Kept for 90 days from the pin unless set otherwise';

CREATE TABLE IF NOT EXISTS rejects
(
    pinned    Date                   COMMENT 'UTC day on which the batch was pinned: decides how long the row is kept',
    stream    String                 COMMENT 'Life of a topic that it was read from: cluster/topic@epoch',
    partition Int32                  COMMENT 'Kafka partition',
    offset    Int64                  COMMENT 'Kafka offset of the record',
    item      UInt32                 COMMENT 'Which item of the record, from 0',
    time      DateTime64(3, 'UTC')   COMMENT 'Time of the Kafka record, UTC',
    reason    LowCardinality(String) COMMENT 'Why, as a word',
    detail    String                 COMMENT 'Why, as a sentence: value, limit, way out',
    outline   String                 COMMENT 'Names and types of the record''s members, without values',
    raw       String                 COMMENT 'The record itself where keep_raw is set, else empty',
    size      Int64                  COMMENT 'Size of the record in bytes'
)
ENGINE = MergeTree
PARTITION BY pinned
ORDER BY (reason, stream, partition, offset, item)
TTL pinned + toIntervalDay(30)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1
COMMENT 'Items of Kafka records that did not become events, and why. Kept for 30 days from the pin unless set otherwise';

CREATE OR REPLACE VIEW rejects_by_reason
(
    reason     LowCardinality(String) COMMENT 'Why, as a word',
    stream     String                 COMMENT 'Life of a topic: cluster/topic@epoch',
    rejects    UInt64                 COMMENT 'Number of items rejected, while rejects are kept',
    first_time DateTime64(3, 'UTC')   COMMENT 'Earliest Kafka time of one, UTC',
    last_time  DateTime64(3, 'UTC')   COMMENT 'Latest Kafka time of one, UTC',
    partition  Int32                  COMMENT 'Kafka partition of the latest one',
    offset     Int64                  COMMENT 'Kafka offset of the latest one',
    detail     String                 COMMENT 'Why the latest one was rejected, as a sentence',
    outline    String                 COMMENT 'Names and types of the latest one''s members'
)
AS
SELECT
    reason,
    stream,
    count() AS rejects,
    min(r.time) AS first_time,
    max(r.time) AS last_time,
    (argMax((r.partition, r.offset, r.detail, r.outline), (r.time, r.partition, r.offset, r.item)) AS latest).1 AS partition,
    latest.2 AS offset,
    latest.3 AS detail,
    latest.4 AS outline
FROM rejects AS r
GROUP BY reason, stream
COMMENT 'How many records were rejected for which reason, with the latest as an example';
