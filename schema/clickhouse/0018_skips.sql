-- People say that what cannot be decoded is to be passed.

CREATE TABLE IF NOT EXISTS skips
(
    stream    String               COMMENT 'Life of a topic: cluster/topic@epoch',
    partition Int32                COMMENT 'Kafka partition',
    offset    Int64                COMMENT 'First Kafka offset that cannot be decoded: nothing else is passed by it',
    to_offset Int64                COMMENT 'Kafka offset behind them, as the command saw it; the marker says what was passed',
    why       String               COMMENT 'Why they cannot be decoded: bad_crc, bad_compression, bad_batch, old_format',
    reason    String               COMMENT 'Why they are passed, in words',
    who       String               COMMENT 'Who wants it',
    at        DateTime64(3, 'UTC') COMMENT 'When it was said, UTC'
)
ENGINE = MergeTree
ORDER BY (stream, partition, offset)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Ranges of Kafka offsets that a person had passed, since they could not be decoded';
