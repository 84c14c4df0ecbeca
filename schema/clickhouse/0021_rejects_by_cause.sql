-- Rejects of one reason are told apart by their cause: which member, absent, null, empty, or of another type.

CREATE OR REPLACE VIEW rejects_by_reason
(
    reason     LowCardinality(String) COMMENT 'Why, as a word',
    stream     String                 COMMENT 'Life of a topic: cluster/topic@epoch',
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
    stream,
    count() AS rejects,
    min(r.time) AS first_time,
    max(r.time) AS last_time,
    (argMax((r.partition, r.offset, r.detail, r.outline), (r.time, r.partition, r.offset, r.item)) AS latest).1 AS partition,
    latest.2 AS offset,
    latest.3 AS detail,
    latest.4 AS outline
FROM rejects AS r
GROUP BY reason, stream, replaceRegexpAll(r.detail, '[0-9][0-9:.-]*', '0')
COMMENT 'How many items were rejected for which reason and cause, with the latest as an example';
