-- What partners may do; which topics were read, how, and what was skipped of them.

CREATE TABLE IF NOT EXISTS registry_versions
(
    ordinal UInt32               COMMENT 'Number of the version, from 1: a later one is greater',
    sha256  String               COMMENT 'SHA-256 of the canonical form, hexadecimal',
    loaded  DateTime64(3, 'UTC') COMMENT 'When it was first loaded, UTC',
    text    String               COMMENT 'The registry in its canonical form, YAML'
)
ENGINE = MergeTree
ORDER BY ordinal
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Every version of the registry that was in force';

CREATE TABLE IF NOT EXISTS registry_grants
(
    ordinal         UInt32         COMMENT 'Version of the registry',
    partner         String         COMMENT 'The third party',
    capability      String         COMMENT 'Part of the API',
    action          Enum8('read' = 1, 'write' = 2, 'delete' = 3) COMMENT 'What it may do there',
    `from`          Date           COMMENT 'First UTC day on which it may',
    `until`         Nullable(Date) COMMENT 'Last UTC day on which it may; NULL: open-ended',
    purpose         String         COMMENT 'Declared purpose: the grant''s, or else the partner''s',
    owner           String         COMMENT 'Who answers for the partner inside the company',
    agreement_start Nullable(Date) COMMENT 'First UTC day of the agreement; NULL: not given',
    agreement_end   Nullable(Date) COMMENT 'Last UTC day of the agreement; NULL: open-ended'
)
ENGINE = MergeTree
ORDER BY (ordinal, partner, capability, action, `from`)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'The grants of every version of the registry';

CREATE TABLE IF NOT EXISTS incarnations
(
    incarnation          String               COMMENT 'Incarnation of a topic: cluster/topic@number',
    cluster              String               COMMENT 'Id of the Kafka cluster',
    topic                String               COMMENT 'Kafka topic',
    topic_id             String               COMMENT 'The id that Kafka gave the topic when it was made, hexadecimal; empty: Kafka gives none',
    number               UInt32               COMMENT 'Which incarnation of the topic, from 1',
    partitions           UInt32               COMMENT 'How many partitions it had when it was first read: those added later are read from their beginning',
    `group`              String               COMMENT 'Consumer group that reads it',
    hash_key_fingerprint String               COMMENT 'Fingerprint of the key under which people are hashed',
    backfill             Bool                 COMMENT 'Whether it is left out of the watermark',
    first_seen           DateTime64(3, 'UTC') COMMENT 'When it was first read, UTC',
    saved                DateTime64(3, 'UTC') COMMENT 'When this row was written, UTC'
)
ENGINE = ReplacingMergeTree(saved)
ORDER BY incarnation
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'The topics that were read, and under which key';

CREATE TABLE IF NOT EXISTS normalisations
(
    topic      String               COMMENT 'Topic whose ids it was used for, in all its incarnations: cluster/topic',
    member     Enum8('subject' = 1, 'actor' = 2) COMMENT 'Which member of the event',
    steps      String               COMMENT 'What the mapping did to the id before hashing it, as JSON with the words of a mapping; {}: nothing. Ids of a table are there as keyed hashes',
    first_used DateTime64(3, 'UTC') COMMENT 'When an instance first began to count under it, UTC; the least where there are several'
)
ENGINE = MergeTree
ORDER BY (topic, member, steps)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'What mappings ever did to the ids of subjects and actors, noted before the first record was counted so: hash, subject and forget do the same to the ids that they are asked about';

CREATE TABLE IF NOT EXISTS skips
(
    incarnation String               COMMENT 'Incarnation of a topic: cluster/topic@number',
    partition Int32                COMMENT 'Kafka partition',
    offset    Int64                COMMENT 'First Kafka offset that cannot be decoded: nothing else is passed by it',
    to_offset Int64                COMMENT 'Kafka offset behind them, as the command saw it; the marker says what was passed',
    why       String               COMMENT 'Why they cannot be decoded: bad_crc, bad_compression, bad_batch, old_format',
    reason    String               COMMENT 'Why they are passed, in words',
    who       String               COMMENT 'Who wants it',
    at        DateTime64(3, 'UTC') COMMENT 'When it was said, UTC'
)
ENGINE = MergeTree
ORDER BY (incarnation, partition, offset)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Ranges of Kafka offsets that a person had passed, since they could not be decoded';
