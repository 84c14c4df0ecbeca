-- What each partner may do, beside what it did.

CREATE OR REPLACE VIEW granted_vs_used
(
    partner         String         COMMENT 'The third party',
    capability      String         COMMENT 'Part of the API',
    action          String         COMMENT 'read, write or delete',
    granted         UInt32         COMMENT 'Number of grants of this scope in the latest registry; 0: never granted',
    granted_since   Nullable(Date) COMMENT 'First UTC day of the earliest grant; NULL: never granted',
    granted_until   Nullable(Date) COMMENT 'Last UTC day of the latest grant; NULL: open-ended, or never granted',
    purpose         String         COMMENT 'Declared purpose of the latest grant',
    owner           String         COMMENT 'Who answers for the partner',
    accesses        UInt64         COMMENT 'Number of calls that were not refused',
    attempts        UInt64         COMMENT 'Number of calls that were refused',
    first_access    Nullable(DateTime64(3, 'UTC')) COMMENT 'First access, UTC; NULL: none',
    last_access     Nullable(DateTime64(3, 'UTC')) COMMENT 'Last access, UTC; NULL: none',
    last_attempt    Nullable(DateTime64(3, 'UTC')) COMMENT 'Last attempt, UTC; NULL: none',
    people          UInt64         COMMENT 'Distinct people whose data was touched by accesses, estimated by uniqCombined64(14)',
    people_low      UInt64         COMMENT 'Lower end of the 95% interval; equal to people where counted exactly (up to 511)',
    people_high     UInt64         COMMENT 'Upper end of the 95% interval',
    bystanders      UInt64         COMMENT 'Distinct people touched on behalf of another, estimated by uniqCombined64(14)',
    bystanders_low  UInt64         COMMENT 'Lower end of the 95% interval',
    bystanders_high UInt64         COMMENT 'Upper end of the 95% interval',
    days_used       UInt64         COMMENT 'Number of UTC days with an access',
    covered_from    Nullable(DateTime64(3, 'UTC')) COMMENT 'Least event time that was counted, of any partner, UTC: a zero says nothing about earlier',
    covered_to      Nullable(DateTime64(3, 'UTC')) COMMENT 'Greatest event time that was counted, UTC: a zero says nothing about later',
    missing         UInt64         COMMENT 'Kafka offsets that were missing from what was read: a zero is proved only where this is 0'
)
AS
WITH
    (SELECT (nullIf(min(first_event), toDateTime64('2200-01-01 00:00:00', 3, 'UTC')), nullIf(max(last_event), toDateTime64(0, 3, 'UTC')), sum(missing)) FROM usage WHERE kind = 'month') AS covered
SELECT
    partner,
    capability,
    toString(action) AS action,
    g.granted AS granted,
    g.since AS granted_since,
    g.until AS granted_until,
    g.purpose AS purpose,
    g.owner AS owner,
    u.accesses AS accesses,
    u.attempts AS attempts,
    u.first_access AS first_access,
    u.last_access AS last_access,
    u.last_attempt AS last_attempt,
    u.people AS people,
    if(people > 512, toUInt64(floor(people * (1 - 1.96 * 0.0081))), people) AS people_low,
    if(people > 512, toUInt64(ceil(people * (1 + 1.96 * 0.0081))), people) AS people_high,
    u.bystanders AS bystanders,
    if(bystanders > 512, toUInt64(floor(bystanders * (1 - 1.96 * 0.0081))), bystanders) AS bystanders_low,
    if(bystanders > 512, toUInt64(ceil(bystanders * (1 + 1.96 * 0.0081))), bystanders) AS bystanders_high,
    u.days_used AS days_used,
    covered.1 AS covered_from,
    covered.2 AS covered_to,
    assumeNotNull(covered.3) AS missing
FROM
(
    SELECT
        r.partner AS partner,
        r.capability AS capability,
        toString(r.action) AS action,
        toUInt32(count()) AS granted,
        toNullable(min(r.from)) AS since,
        if(countIf(r.until IS NULL) > 0, NULL, max(r.until)) AS until,
        argMax(r.purpose, r.from) AS purpose,
        argMax(r.owner, r.from) AS owner
    FROM registry_grants AS r
    WHERE r.ordinal = (SELECT max(ordinal) FROM registry_versions)
    GROUP BY partner, capability, action
) AS g
FULL OUTER JOIN
(
    SELECT
        e.partner AS partner,
        e.capability AS capability,
        toString(e.action) AS action,
        sum(e.accesses) AS accesses,
        sum(e.attempts) AS attempts,
        nullIf(min(e.first_access), toDateTime64('2200-01-01 00:00:00', 3, 'UTC')) AS first_access,
        nullIf(max(e.last_access), toDateTime64(0, 3, 'UTC')) AS last_access,
        nullIf(max(e.last_attempt), toDateTime64(0, 3, 'UTC')) AS last_attempt,
        uniqCombined64Merge(14)(e.subjects) AS people,
        uniqCombined64Merge(14)(e.bystanders) AS bystanders,
        uniqExactIf(e.bucket, e.accesses > 0) AS days_used
    FROM usage AS e
    WHERE e.kind = 'usage' AND e.resolution = 'day'
    GROUP BY partner, capability, action
) AS u
USING (partner, capability, action)
COMMENT 'Each scope that was granted or used: since when, until when, what for, and what was done with it';
