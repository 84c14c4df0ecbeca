-- What was read from Kafka or a file: events, and what did not become one.

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
    incarnation String               COMMENT 'Incarnation of a topic that it was read from: cluster/topic@number',
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
    INDEX by_subject subject TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_actor   actor   TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY pinned
ORDER BY (partner, toStartOfHour(time), capability, action, time)
TTL pinned + toIntervalDay(90)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1
COMMENT 'Every event as it was counted, identified by incarnation, partition, offset and item. Kept for 90 days from the pin unless set otherwise';

CREATE TABLE IF NOT EXISTS rejects
(
    pinned    Date                   COMMENT 'UTC day on which the batch was pinned: decides how long the row is kept',
    incarnation String                 COMMENT 'Incarnation of a topic that it was read from: cluster/topic@number',
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
ORDER BY (reason, incarnation, partition, offset, item)
TTL pinned + toIntervalDay(30)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1
COMMENT 'Items of Kafka records that did not become events, and why. Kept for 30 days from the pin unless set otherwise';

CREATE OR REPLACE VIEW rejects_by_reason
(
    reason     LowCardinality(String) COMMENT 'Why, as a word',
    incarnation String                 COMMENT 'Incarnation of a topic: cluster/topic@number',
    rejects    UInt64                 COMMENT 'Number of items rejected for this cause, while rejects are kept',
    first_time DateTime64(3, 'UTC')   COMMENT 'Earliest Kafka time of one, UTC',
    last_time  DateTime64(3, 'UTC')   COMMENT 'Latest Kafka time of one, UTC',
    partition  Int32                  COMMENT 'Kafka partition of the latest one',
    offset     Int64                  COMMENT 'Kafka offset of the latest one',
    detail     String                 COMMENT 'The cause, as a sentence about the latest one: which member, what is there, what was expected. Sentences that differ in their numbers alone are one cause',
    outline    String                 COMMENT 'Names and types of the latest one''s members'
)
AS
SELECT
    reason,
    incarnation,
    count() AS rejects,
    min(r.time) AS first_time,
    max(r.time) AS last_time,
    (argMax((r.partition, r.offset, r.detail, r.outline), (r.time, r.partition, r.offset, r.item)) AS latest).1 AS partition,
    latest.2 AS offset,
    latest.3 AS detail,
    latest.4 AS outline
FROM rejects AS r
GROUP BY reason, incarnation, replaceRegexpAll(r.detail, '[0-9][0-9:.-]*', '0')
COMMENT 'How many items were rejected for which reason and cause, with the latest as an example';

CREATE OR REPLACE VIEW duplicate_ids
(
    partner    String               COMMENT 'The third party',
    id         String               COMMENT 'The producer''s own id, which several events of the partner bear',
    events     UInt64               COMMENT 'Number of events with it, while raw events are kept. Each was counted',
    places     UInt64               COMMENT 'Number of different Kafka records that they came in',
    times      UInt64               COMMENT 'Number of different event times among them; 1: most likely one call that was sent again',
    first_time DateTime64(3, 'UTC') COMMENT 'Earliest event time, UTC',
    last_time  DateTime64(3, 'UTC') COMMENT 'Latest event time, UTC'
)
AS
SELECT
    partner,
    id,
    count() AS events,
    uniqExact(e.incarnation, e.partition, e.offset) AS places,
    uniqExact(e.time) AS times,
    min(e.time) AS first_time,
    max(e.time) AS last_time
FROM access_events AS e
WHERE e.id != ''
GROUP BY partner, id
HAVING events > 1
COMMENT 'Ids that more than one event of a partner bears. Each record counts, whatever its id: people are counted once all the same, accesses are not. It reads all raw events: name a partner';

CREATE TABLE IF NOT EXISTS files
(
    incarnation     String               COMMENT 'Incarnation of the topic that the run read the file through: cluster/topic@number. Its markers say what of the file is counted',
    file            UInt32               COMMENT 'Which of the run''s files, from 0',
    name            String               COMMENT 'The file as the command named it',
    sha256          String               COMMENT 'SHA-256 of its records as they are unpacked, each without white space at its end and with a line feed behind it, hexadecimal. Of a plain file of lines it is what sha256sum says',
    sha256_but_last String               COMMENT 'The same without its last record, where the file ended within its last line; else empty',
    records         UInt64               COMMENT 'Number of records in it; empty lines are none',
    counting        UInt32               COMMENT 'Which counting of these records it is, from 1; more than 1 where --again was given',
    first           UInt64               COMMENT 'Number in the run of the first record that was sent of it, from 0',
    from_record     Array(UInt64)        COMMENT 'Numbers in the file, from 0, of the records at which the ranges begin that were sent of it',
    to_record       Array(UInt64)        COMMENT 'Numbers in the file of the records before which these ranges end',
    stripe          UInt64               COMMENT 'Number of records that stand behind one another in a partition before the next partition has as many',
    partitions      UInt32               COMMENT 'Number of partitions of the topic',
    started         DateTime64(3, 'UTC') COMMENT 'When the run began to send, UTC',
    judged          UInt8                COMMENT '1: the run judged all that was counted, to its end'
)
ENGINE = ReplacingMergeTree(judged)
ORDER BY (incarnation, file)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Files that `run --local --from` was given. Kept for ever';
