-- Under which forms of an id a person was counted, so that a person is found whichever form is asked about.

CREATE TABLE IF NOT EXISTS normalisations
(
    topic      String               COMMENT 'Topic whose ids it was used for, in all its lives: cluster/topic',
    member     Enum8('subject' = 1, 'actor' = 2) COMMENT 'Which member of the event',
    steps      String               COMMENT 'What the mapping did to the id before hashing it, as JSON with the words of a mapping; {}: nothing. Ids of a table are there as keyed hashes',
    first_used DateTime64(3, 'UTC') COMMENT 'When an instance first began to count under it, UTC; the least where there are several'
)
ENGINE = MergeTree
ORDER BY (topic, member, steps)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'What mappings ever did to the ids of subjects and actors, noted before the first record was counted so: hash, subject and forget do the same to the ids that they are asked about';
