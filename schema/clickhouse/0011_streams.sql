-- One topic under a name is told from the next, and one process gets in first.

ALTER TABLE streams ADD COLUMN IF NOT EXISTS topic_id String COMMENT 'The id that Kafka gave the topic when it was made, hexadecimal; empty: Kafka gives none' AFTER topic;

ALTER TABLE streams ADD COLUMN IF NOT EXISTS partitions UInt32 COMMENT 'How many partitions it had when it was first read: those added later are read from their beginning' AFTER epoch;

ALTER TABLE streams MODIFY SETTING non_replicated_deduplication_window = 10000;
