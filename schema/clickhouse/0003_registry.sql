-- What partners may do, and what was read.

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

CREATE TABLE IF NOT EXISTS streams
(
    stream               String               COMMENT 'Life of a topic: cluster/topic@epoch',
    cluster              String               COMMENT 'Id of the Kafka cluster',
    topic                String               COMMENT 'Kafka topic',
    epoch                UInt32               COMMENT 'Which life of the topic, from 1',
    `group`              String               COMMENT 'Consumer group that reads it',
    hash_key_fingerprint String               COMMENT 'Fingerprint of the key under which people are hashed',
    backfill             Bool                 COMMENT 'Whether it is left out of the watermark',
    first_seen           DateTime64(3, 'UTC') COMMENT 'When it was first read, UTC',
    saved                DateTime64(3, 'UTC') COMMENT 'When this row was written, UTC'
)
ENGINE = ReplacingMergeTree(saved)
ORDER BY stream
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'The topics that were read, and under which key';
