-- Events that a producer sent more than once, by its own ids.

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
    uniqExact(e.stream, e.partition, e.offset) AS places,
    uniqExact(e.time) AS times,
    min(e.time) AS first_time,
    max(e.time) AS last_time
FROM access_events AS e
WHERE e.id != ''
GROUP BY partner, id
HAVING events > 1
COMMENT 'Ids that more than one event of a partner bears. Each record counts, whatever its id: people are counted once all the same, accesses are not. It reads all raw events: name a partner';
