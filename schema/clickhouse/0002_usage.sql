-- What partners did, added up, and the markers that vouch for it.

CREATE TABLE IF NOT EXISTS usage
(
    kind       Enum8('usage' = 0, 'range' = 1, 'month' = 2) COMMENT 'usage: what a usage key did in a bucket; range: marker of one batch; month: the markers of a partition and month, merged',
    resolution Enum8('none' = 0, 'minute' = 1, 'hour' = 2, 'day' = 3) COMMENT 'Width of the bucket; none for markers',
    bucket     DateTime('UTC') COMMENT 'usage: start of the bucket of event time, UTC; month: first day of the month of the pin; range: 1970',
    slot       UInt8           COMMENT 'Low byte of FNV-1a (32 bit) of the partner: how judging is shared out; 0 for markers',
    incarnation String          COMMENT 'Incarnation of a topic that it was read from: cluster/topic@number',
    partner    String          COMMENT 'The third party; empty for markers',
    capability String          COMMENT 'Part of the API; empty for markers',
    app        String          COMMENT 'One of the partner''s clients; empty where the events name none and for markers',
    action     Enum8('' = 0, 'read' = 1, 'write' = 2, 'delete' = 3) COMMENT 'What the calls did to the data; empty for markers',
    partition   Int32          COMMENT 'Markers: Kafka partition; 0 for usage',
    from_offset Int64          COMMENT 'Marker of a batch: its first Kafka offset; 0 for others',
    pinned     SimpleAggregateFunction(max, Date) COMMENT 'Latest UTC day on which a batch of the row was pinned: decides how long the row is kept',

    accesses SimpleAggregateFunction(sum, UInt64) COMMENT 'Number of calls that were not refused',
    attempts SimpleAggregateFunction(sum, UInt64) COMMENT 'Number of calls that were refused: 401, 403, 429, 5xx',
    records  SimpleAggregateFunction(sum, UInt64) COMMENT 'Records returned or changed by accesses',
    bytes    SimpleAggregateFunction(sum, UInt64) COMMENT 'Bytes returned or received by accesses',
    first_access  SimpleAggregateFunction(min, DateTime64(3, 'UTC')) DEFAULT '2200-01-01 00:00:00' COMMENT 'First access, UTC; 2200-01-01 for none',
    last_access   SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Last access, UTC; 1970 for none',
    first_attempt SimpleAggregateFunction(min, DateTime64(3, 'UTC')) DEFAULT '2200-01-01 00:00:00' COMMENT 'First attempt, UTC; 2200-01-01 for none',
    last_attempt  SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Last attempt, UTC; 1970 for none',

    subjects_bytes   String EPHEMERAL unhex('0100') COMMENT 'How subjects is written: the state''s bytes. Cannot be read',
    actors_bytes     String EPHEMERAL unhex('0100') COMMENT 'How actors is written: the state''s bytes. Cannot be read',
    bystanders_bytes String EPHEMERAL unhex('0100') COMMENT 'How bystanders is written: the state''s bytes. Cannot be read',
    subjects   AggregateFunction(uniqCombined64(14), UInt64) DEFAULT CAST(subjects_bytes AS AggregateFunction(uniqCombined64(14), UInt64)) COMMENT 'People whose data was touched by accesses, as keyed hashes: uniqCombined64Merge(14)(subjects)',
    actors     AggregateFunction(uniqCombined64(14), UInt64) DEFAULT CAST(actors_bytes AS AggregateFunction(uniqCombined64(14), UInt64)) COMMENT 'People on whose behalf accesses were made; kept by day alone',
    bystanders AggregateFunction(uniqCombined64(14), UInt64) DEFAULT CAST(bystanders_bytes AS AggregateFunction(uniqCombined64(14), UInt64)) COMMENT 'People whose data was touched on behalf of another; kept by day alone',

    least_from   SimpleAggregateFunction(min, Int64)  COMMENT 'Markers: first Kafka offset that they vouch for; 0 for usage',
    to_offset    SimpleAggregateFunction(max, Int64)  COMMENT 'Markers: Kafka offset after the last that they vouch for',
    records_read SimpleAggregateFunction(sum, UInt64) COMMENT 'Markers: Kafka records read',
    missing      SimpleAggregateFunction(sum, UInt64) COMMENT 'Markers: Kafka offsets that the broker no longer had',
    events       SimpleAggregateFunction(sum, UInt64) COMMENT 'Markers: events counted, accesses and attempts',
    rejected     SimpleAggregateFunction(sum, UInt64) COMMENT 'Markers: items that became rejects',
    filtered     SimpleAggregateFunction(sum, UInt64) COMMENT 'Markers: items left out by the mapping''s filter',
    first_event  SimpleAggregateFunction(min, DateTime64(3, 'UTC')) DEFAULT '2200-01-01 00:00:00' COMMENT 'Markers: least event time, UTC; 2200-01-01 for none',
    last_event   SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Markers: greatest event time, UTC; 1970 for none',
    minutes      SimpleAggregateFunction(groupUniqArrayArray, Array(UInt32)) COMMENT 'Marker of a batch: minutes of event time that it touched, since 1970',
    mixed        SimpleAggregateFunction(max, UInt8)  COMMENT 'Markers: 1 where a batch was written under another mapping, key or binary than it was pinned under',
    unreadable SimpleAggregateFunction(sum, UInt64) COMMENT 'Markers: Kafka offsets whose records could not be decoded and were passed',
    unreadable_why SimpleAggregateFunction(groupUniqArrayArray, Array(String)) COMMENT 'Markers: why they could not be decoded: bad_crc, bad_compression, bad_batch, old_format',
    last_record SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'Markers: greatest time that Kafka gave a record, event or not, UTC; 1970 for none'
)
ENGINE = AggregatingMergeTree
PARTITION BY toStartOfMonth(pinned)
ORDER BY (kind, resolution, bucket, slot, incarnation, partner, capability, app, action, partition, from_offset)
TTL
    pinned + toIntervalDay(15) DELETE WHERE resolution = 'minute' OR kind = 'range',
    pinned + toIntervalDay(400) DELETE WHERE resolution = 'hour'
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, merge_with_ttl_timeout = 86400
COMMENT 'What each usage key (partner, app, capability, action) did in each bucket of event time, and the markers that vouch for it. Rows may be unmerged: always group and aggregate, or read the views. From the pin, unless set otherwise, minutes and the markers of batches are kept for 15 days, hours for 400, days and the markers of months for ever';

CREATE OR REPLACE VIEW coverage
(
    incarnation  String   COMMENT 'Incarnation of a topic: cluster/topic@number',
    partition    Int32    COMMENT 'Kafka partition',
    from_offset  Int64    COMMENT 'First Kafka offset counted',
    to_offset    Int64    COMMENT 'Kafka offset after the last counted',
    records      UInt64   COMMENT 'Kafka records read',
    missing      UInt64   COMMENT 'Kafka offsets in between that the broker no longer had: a zero rests on there being none',
    events       UInt64   COMMENT 'Events counted, accesses and attempts',
    rejected     UInt64   COMMENT 'Items that became rejects',
    filtered     UInt64   COMMENT 'Items left out by the mapping''s filter',
    first_event  Nullable(DateTime64(3, 'UTC')) COMMENT 'Least event time, UTC; NULL for none',
    last_event   Nullable(DateTime64(3, 'UTC')) COMMENT 'Greatest event time, UTC; NULL for none',
    last_pinned  Date     COMMENT 'UTC day of the latest batch',
    mixed        UInt8    COMMENT '1 where a batch was written under another mapping, key or binary than it was pinned under',
    unreadable   UInt64   COMMENT 'Kafka offsets whose records could not be decoded and were passed: a zero rests on there being none',
    unreadable_why Array(String) COMMENT 'Why they could not be decoded: bad_crc, bad_compression, bad_batch, old_format',
    last_record  Nullable(DateTime64(3, 'UTC')) COMMENT 'Greatest time that Kafka gave a record, event or not, UTC; NULL for none'
)
AS
SELECT
    incarnation,
    partition,
    min(u.least_from) AS from_offset,
    max(u.to_offset) AS to_offset,
    sum(u.records_read) AS records,
    sum(u.missing) AS missing,
    sum(u.events) AS events,
    sum(u.rejected) AS rejected,
    sum(u.filtered) AS filtered,
    nullIf(min(u.first_event), toDateTime64('2200-01-01 00:00:00', 3, 'UTC')) AS first_event,
    nullIf(max(u.last_event), toDateTime64(0, 3, 'UTC')) AS last_event,
    max(u.pinned) AS last_pinned,
    max(u.mixed) AS mixed,
    sum(u.unreadable) AS unreadable,
    arraySort(groupUniqArrayArray(u.unreadable_why)) AS unreadable_why,
    nullIf(max(u.last_record), toDateTime64(0, 3, 'UTC')) AS last_record
FROM usage AS u
WHERE u.kind = 'month'
GROUP BY incarnation, partition
COMMENT 'Which Kafka offsets have been counted, which were missing, and which could not be decoded';

CREATE OR REPLACE VIEW people_daily
(
    day         Date   COMMENT 'UTC day of event time',
    partner     String COMMENT 'The third party',
    capability  String COMMENT 'Part of the API; empty: all of the partner''s together, which is less than the sum where people are in several',
    people      UInt64 COMMENT 'Distinct people whose data was touched by accesses, estimated by uniqCombined64(14)',
    people_low  UInt64 COMMENT 'Lower end of the 95% interval; equal to people where counted exactly (up to 511)',
    people_high UInt64 COMMENT 'Upper end of the 95% interval',
    accesses    UInt64 COMMENT 'Number of calls that were not refused',
    attempts    UInt64 COMMENT 'Number of calls that were refused'
)
AS
SELECT
    day,
    partner,
    capability,
    uniqCombined64Merge(14)(u.subjects) AS people,
    if(people > 512, toUInt64(floor(people * (1 - 1.96 * 0.0081))), people) AS people_low,
    if(people > 512, toUInt64(ceil(people * (1 + 1.96 * 0.0081))), people) AS people_high,
    sum(u.accesses) AS accesses,
    sum(u.attempts) AS attempts
FROM usage AS u
WHERE u.kind = 'usage' AND u.resolution = 'day'
GROUP BY toDate(u.bucket, 'UTC') AS day, u.partner AS partner, arrayJoin(['', u.capability]) AS capability
COMMENT 'Distinct people for each partner and capability in each UTC day';

CREATE OR REPLACE VIEW people_monthly
(
    month       Date   COMMENT 'First day of the calendar month of event time, UTC',
    partner     String COMMENT 'The third party',
    capability  String COMMENT 'Part of the API; empty: all of the partner''s together, which is less than the sum where people are in several',
    people      UInt64 COMMENT 'Distinct people whose data was touched by accesses, estimated by uniqCombined64(14)',
    people_low  UInt64 COMMENT 'Lower end of the 95% interval; equal to people where counted exactly (up to 511)',
    people_high UInt64 COMMENT 'Upper end of the 95% interval',
    accesses    UInt64 COMMENT 'Number of calls that were not refused',
    attempts    UInt64 COMMENT 'Number of calls that were refused'
)
AS
SELECT
    month,
    partner,
    capability,
    uniqCombined64Merge(14)(u.subjects) AS people,
    if(people > 512, toUInt64(floor(people * (1 - 1.96 * 0.0081))), people) AS people_low,
    if(people > 512, toUInt64(ceil(people * (1 + 1.96 * 0.0081))), people) AS people_high,
    sum(u.accesses) AS accesses,
    sum(u.attempts) AS attempts
FROM usage AS u
WHERE u.kind = 'usage' AND u.resolution = 'day'
GROUP BY toStartOfMonth(u.bucket, 'UTC') AS month, u.partner AS partner, arrayJoin(['', u.capability]) AS capability
COMMENT 'Distinct people for each partner and capability in each calendar month, UTC';

CREATE OR REPLACE VIEW people_30d
(
    day         Date   COMMENT 'Last UTC day of the 30; there is a row for each day with use',
    partner     String COMMENT 'The third party',
    capability  String COMMENT 'Part of the API; empty: all of the partner''s together, which is less than the sum where people are in several',
    people      UInt64 COMMENT 'Distinct people whose data was touched by accesses in the 30 days, estimated by uniqCombined64(14)',
    people_low  UInt64 COMMENT 'Lower end of the 95% interval; equal to people where counted exactly (up to 511)',
    people_high UInt64 COMMENT 'Upper end of the 95% interval',
    accesses    UInt64 COMMENT 'Number of calls in the 30 days that were not refused',
    attempts    UInt64 COMMENT 'Number of calls in the 30 days that were refused'
)
AS
SELECT
    day,
    partner,
    capability,
    uniqCombined64Merge(14)(d.subjects) OVER last_30 AS people,
    if(people > 512, toUInt64(floor(people * (1 - 1.96 * 0.0081))), people) AS people_low,
    if(people > 512, toUInt64(ceil(people * (1 + 1.96 * 0.0081))), people) AS people_high,
    sum(d.accesses) OVER last_30 AS accesses,
    sum(d.attempts) OVER last_30 AS attempts
FROM
(
    SELECT
        day,
        partner,
        capability,
        uniqCombined64MergeState(14)(u.subjects) AS subjects,
        sum(u.accesses) AS accesses,
        sum(u.attempts) AS attempts
    FROM usage AS u
    WHERE u.kind = 'usage' AND u.resolution = 'day'
    GROUP BY toDate(u.bucket, 'UTC') AS day, u.partner AS partner, arrayJoin(['', u.capability]) AS capability
) AS d
WINDOW last_30 AS (PARTITION BY partner, capability ORDER BY day RANGE BETWEEN 29 PRECEDING AND CURRENT ROW)
COMMENT 'Distinct people for each partner and capability in the 30 UTC days that end with each';
