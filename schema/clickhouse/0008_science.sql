-- Series to analyse: people a day without gaps, and how late findings were reported.

CREATE OR REPLACE VIEW partner_days
(
    day         Date    COMMENT 'UTC day of event time: every one from the partner''s first use to the latest day that was counted of any partner',
    partner     String  COMMENT 'The third party',
    people      UInt64  COMMENT 'Distinct people whose data was touched by accesses, estimated by uniqCombined64(14); 0 on days without use',
    people_low  UInt64  COMMENT 'Lower end of the 95% interval; equal to people where counted exactly (up to 511)',
    people_high UInt64  COMMENT 'Upper end of the 95% interval',
    accesses    UInt64  COMMENT 'Number of calls that were not refused',
    attempts    UInt64  COMMENT 'Number of calls that were refused',
    closed      Bool    COMMENT 'Whether a later day was counted, of any partner; the latest day is still open',
    samples     UInt8   COMMENT 'Number of days before that usual rests on, at most 28, zeros among them',
    usual       Nullable(Float64) COMMENT 'Median of people over the 28 days before; NULL under 7 days',
    spread      Nullable(Float64) COMMENT 'Median absolute deviation of people over the same days, in people; NULL under 7 days',
    distance    Nullable(Float64) COMMENT '(people - usual) / greatest(1.4826 * spread, sqrt(usual), 1): in standard deviations, were the days normally distributed; chance alone makes sqrt(usual). NULL under 7 days'
)
AS
SELECT
    f.day AS day,
    f.partner AS partner,
    f.people AS people,
    if(people > 512, toUInt64(floor(people * (1 - 1.96 * 0.0081))), people) AS people_low,
    if(people > 512, toUInt64(ceil(people * (1 + 1.96 * 0.0081))), people) AS people_high,
    f.accesses AS accesses,
    f.attempts AS attempts,
    f.day < f.latest AS closed,
    toUInt8(length(f.before)) AS samples,
    if(samples < 7, NULL, arrayReduce('quantileExactInclusive(0.5)', f.before)) AS usual,
    if(samples < 7, NULL, arrayReduce('quantileExactInclusive(0.5)', arrayMap(x -> abs(x - arrayReduce('quantileExactInclusive(0.5)', f.before)), f.before))) AS spread,
    (people - usual) / greatest(1.4826 * spread, sqrt(usual), 1) AS distance
FROM
(
    SELECT
        *,
        groupArray(toFloat64(people)) OVER (PARTITION BY partner ORDER BY day ROWS BETWEEN 28 PRECEDING AND 1 PRECEDING) AS before
    FROM
    (
        SELECT
            toDate(number) AS day,
            p.partner AS partner,
            p.latest AS latest,
            p.people[indexOf(p.days, day)] AS people,
            p.accesses[indexOf(p.days, day)] AS accesses,
            p.attempts[indexOf(p.days, day)] AS attempts
        FROM
        (
            SELECT
                partner,
                groupArray(d.day) AS days,
                groupArray(d.people) AS people,
                groupArray(d.accesses) AS accesses,
                groupArray(d.attempts) AS attempts,
                (SELECT max(toDate(bucket, 'UTC')) FROM usage WHERE kind = 'usage' AND resolution = 'day') AS latest
            FROM people_daily AS d
            WHERE d.capability = ''
            GROUP BY d.partner AS partner
        ) AS p
        ARRAY JOIN range(toUInt32(arrayMin(p.days)), toUInt32(assumeNotNull(latest)) + 1) AS number
    )
) AS f
COMMENT 'People a day for each partner, zeros filled, and how far each day lies from what is usual for the partner';

CREATE OR REPLACE VIEW finding_delays
(
    id             String                        COMMENT 'Of the finding',
    detector       LowCardinality(String)        COMMENT 'What found it',
    partner        String                        COMMENT 'The third party',
    severity       LowCardinality(String)        COMMENT 'warning or critical, as it is now known',
    first_seen     DateTime64(3, 'UTC')          COMMENT 'First access or attempt in it, UTC',
    first_crossing DateTime('UTC')               COMMENT 'first_crossing: the end of the first bucket at which it held, UTC',
    reported       Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was first reported, by the wall clock, UTC; NULL: not yet',
    lead_s         Int64                         COMMENT 'Seconds from first_seen to first_crossing: how long it went on before anybody could know',
    delay_s        Nullable(Float64)             COMMENT 'Seconds from first_crossing to reported, by two clocks: event time and the wall''s. For replayed history it is the age of the log'
)
AS
SELECT
    f.id AS id,
    f.detector AS detector,
    f.partner AS partner,
    f.severity AS severity,
    f.first_seen AS first_seen,
    f.first_crossing,
    c.reported AS reported,
    dateDiff('second', f.first_seen, f.first_crossing) AS lead_s,
    dateDiff('millisecond', f.first_crossing, c.reported) / 1000 AS delay_s
FROM findings AS f
LEFT JOIN (SELECT id, toNullable(min(t.reported)) AS reported FROM finding_changes AS t GROUP BY t.id AS id) AS c ON f.id = c.id
COMMENT 'How long each finding went on before its first crossing, and how long until it was reported';
