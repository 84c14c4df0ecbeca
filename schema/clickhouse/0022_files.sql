-- Which files were counted, so that none is counted twice.

CREATE TABLE IF NOT EXISTS files
(
    stream          String               COMMENT 'Life of the topic that the run read the file through: cluster/topic@epoch. Its markers say what of the file is counted',
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
ORDER BY (stream, file)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Files that `run --local --from` was given. Kept for ever'
