-- Rights beside their use, with proof where there was none.

CREATE OR REPLACE VIEW granted_vs_used
(
    partner          String         COMMENT 'The third party',
    capability       String         COMMENT 'Part of the API',
    action           String         COMMENT 'read, write or delete',
    granted          UInt32         COMMENT 'Number of grants of this scope in the latest registry; 0: never granted',
    granted_since    Nullable(Date) COMMENT 'First UTC day of the earliest grant; NULL: never granted',
    granted_until    Nullable(Date) COMMENT 'Last UTC day of the latest grant; NULL: open-ended, or never granted',
    purpose          String         COMMENT 'Declared purpose of the latest grant',
    owner            String         COMMENT 'Who answers for the partner',
    accesses         UInt64         COMMENT 'Number of calls that were not refused',
    attempts         UInt64         COMMENT 'Number of calls that were refused',
    first_access     Nullable(DateTime64(3, 'UTC')) COMMENT 'First access, UTC; NULL: none',
    last_access      Nullable(DateTime64(3, 'UTC')) COMMENT 'Last access, UTC; NULL: none',
    first_attempt    Nullable(DateTime64(3, 'UTC')) COMMENT 'First attempt, UTC; NULL: none',
    last_attempt     Nullable(DateTime64(3, 'UTC')) COMMENT 'Last attempt, UTC; NULL: none',
    people           UInt64         COMMENT 'Distinct people whose data was touched by accesses, estimated by uniqCombined64(14)',
    people_low       UInt64         COMMENT 'Lower end of the 95% interval; equal to people where counted exactly (up to 511)',
    people_high      UInt64         COMMENT 'Upper end of the 95% interval',
    bystanders       UInt64         COMMENT 'Distinct people touched on behalf of another, estimated by uniqCombined64(14)',
    bystanders_low   UInt64         COMMENT 'Lower end of the 95% interval',
    bystanders_high  UInt64         COMMENT 'Upper end of the 95% interval',
    days_used        UInt64         COMMENT 'Number of UTC days with an access',
    never_used       Bool           COMMENT 'Granted, and no access was counted. Whether that is proof: provable',
    never_granted    Bool           COMMENT 'Used, and no grant of the latest registry ever allowed it. Attempts alone do not count',
    accesses_outside UInt64         COMMENT 'Accesses on UTC days on which no grant of the latest registry within its agreement allowed them: before, between, after. A sunset is not looked at: stale_access does that',
    days_outside     UInt64         COMMENT 'Number of those days',
    covered_from     Nullable(DateTime64(3, 'UTC')) COMMENT 'Least event time that was counted, of any partner, UTC',
    covered_to       Nullable(DateTime64(3, 'UTC')) COMMENT 'Greatest event time that was counted, UTC',
    zero_from        Nullable(DateTime64(3, 'UTC')) COMMENT 'From when on a zero says something, UTC: the start of the earliest grant, or where coverage begins if that is later: the least event time, or, of partitions that were not read from their first record, the latest of their first events',
    zero_to          Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when a zero says something, UTC: the greatest event time, or the judge''s watermark if that is earlier, or the event time from which on records wait in a partition that the watermark leaves out',
    partitions       UInt64         COMMENT 'Kafka partitions that were read',
    offsets          UInt64         COMMENT 'Kafka offsets that were passed over, of all partitions',
    records_read     UInt64         COMMENT 'Kafka records that were read',
    missing          UInt64         COMMENT 'Kafka offsets that were missing from what was read',
    unreadable       UInt64         COMMENT 'Kafka offsets whose records could not be decoded and were passed: whose they were is not known',
    rejected         UInt64         COMMENT 'Items that became rejects: whose they were is not known',
    filtered         UInt64         COMMENT 'Items that a mapping''s filter left out, by its rule',
    mixed            Bool           COMMENT 'Whether a batch was written under another mapping, key or binary than it was pinned under',
    provable         Bool           COMMENT 'Whether a zero from zero_from to zero_to is proof: nothing missing, unreadable, rejected or mixed. Usage is kept under every partner''s own name, so a name that the registry does not have makes no difference',
    why_not          String         COMMENT 'Why a zero is no proof, or none of before zero_from or after zero_to, in words; empty: it is proof since the grant began'
)
AS
WITH
    toDateTime64(0, 3, 'UTC') AS never,
    toDateTime64('2200-01-01 00:00:00', 3, 'UTC') AS none,
    (
        SELECT (if(count() = 0, NULL, nullIf(min(first), none)), nullIf(max(last), never), max(begins), count(), toUInt64(sum(read_to - read_from)), sum(read), sum(lost), sum(turned_down), sum(left_out), max(mixture), sum(undecoded))
        FROM
        (
            SELECT
                min(m.least_from) AS read_from,
                max(m.to_offset) AS read_to,
                sum(m.records_read) AS read,
                sum(m.missing) AS lost,
                sum(m.rejected) AS turned_down,
                sum(m.filtered) AS left_out,
                max(m.mixed) AS mixture,
                sum(m.unreadable) AS undecoded,
                min(m.first_event) AS first,
                max(m.last_event) AS last,
                -- Not read from its first record: nothing is known of before its first event, and where it had none, of before it was read.
                multiIf(read_from = 0, never, first < none, first, toDateTime64(max(m.pinned), 3, 'UTC')) AS begins
            FROM usage AS m
            WHERE m.kind = 'month'
            GROUP BY m.incarnation, m.partition
        )
    ) AS c,
    (SELECT max(watermark) FROM judged FINAL WHERE cadence = 'minute') AS judged_to,
    (
        SELECT (min(w.unread_since), arrayStringConcat(arraySort(groupArray(concat(w.incarnation, ' partition ', toString(w.partition),
            if(w.latest = never, ', of which no event is counted', concat(', whose own clock stands at ', toString(toDateTime(w.latest, 'UTC')), ' UTC')),
            if(isNull(w.unread_since), ', and its records are counted', '')))), ', '))
        FROM watermark_stalls AS w FINAL
        WHERE w.left_out
    ) AS o,
    if(isNull(c.2) OR judged_to = 0, NULL, least(c.2, toDateTime64(judged_to, 3, 'UTC'))) AS judged_until
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
    u.first_attempt AS first_attempt,
    u.last_attempt AS last_attempt,
    u.people AS people,
    if(people > 512, toUInt64(floor(people * (1 - 1.96 * 0.0081))), people) AS people_low,
    if(people > 512, toUInt64(ceil(people * (1 + 1.96 * 0.0081))), people) AS people_high,
    u.bystanders AS bystanders,
    if(bystanders > 512, toUInt64(floor(bystanders * (1 - 1.96 * 0.0081))), bystanders) AS bystanders_low,
    if(bystanders > 512, toUInt64(ceil(bystanders * (1 + 1.96 * 0.0081))), bystanders) AS bystanders_high,
    length(u.days) AS days_used,
    toBool(granted > 0 AND accesses = 0) AS never_used,
    toBool(granted = 0 AND accesses > 0) AS never_granted,
    arraySum(d -> d.2, arrayFilter(d -> NOT arrayExists(span -> d.1 >= span.1 AND d.1 <= span.2, g.spans), u.days) AS days_without) AS accesses_outside,
    length(days_without) AS days_outside,
    c.1 AS covered_from,
    c.2 AS covered_to,
    if(c.1 IS NULL, NULL, greatest(c.1, assumeNotNull(c.3), if(g.since IS NULL, never, toDateTime64(assumeNotNull(g.since), 3, 'UTC')))) AS zero_from,
    least(judged_until, ifNull(o.1, judged_until)) AS zero_to,
    assumeNotNull(c.4) AS partitions,
    assumeNotNull(c.5) AS offsets,
    assumeNotNull(c.6) AS records_read,
    assumeNotNull(c.7) AS missing,
    assumeNotNull(c.11) AS unreadable,
    assumeNotNull(c.8) AS rejected,
    assumeNotNull(c.9) AS filtered,
    toBool(assumeNotNull(c.10)) AS mixed,
    toBool(ifNull(zero_from <= zero_to, 0) AND missing = 0 AND unreadable = 0 AND rejected = 0 AND NOT mixed) AS provable,
    arrayStringConcat(arrayFilter(reason -> reason != '',
    [
        multiIf(c.1 IS NULL, 'nothing was counted', judged_to = 0, 'nothing was judged yet', zero_from > judged_until, 'nothing was counted since the grant began', ''),
        if(missing = 0, '', concat('records missing: ', toString(missing))),
        if(unreadable = 0, '', concat('offsets whose records could not be decoded: ', toString(unreadable))),
        if(rejected = 0, '', concat('items rejected, and whose they were is not known: ', toString(rejected))),
        if(o.2 = '', '', concat('the watermark leaves out ', o.2)),
        if(NOT mixed, '', 'a batch was begun under another mapping, key or version'),
        if(ifNull(toDate(zero_from, 'UTC') > g.since, 0), concat('coverage begins ', toString(toDate(assumeNotNull(zero_from), 'UTC')), ', the grant began ', toString(assumeNotNull(g.since))), '')
    ]), '; ') AS why_not
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
        argMax(r.owner, r.from) AS owner,
        groupArray((greatest(r.from, ifNull(r.agreement_start, r.from)), least(ifNull(r.until, toDate('2149-06-06')), ifNull(r.agreement_end, toDate('2149-06-06'))))) AS spans
    FROM registry_grants AS r
    WHERE r.ordinal = (SELECT max(ordinal) FROM registry_versions)
    GROUP BY partner, capability, action
) AS g
FULL OUTER JOIN
(
    SELECT
        partner,
        capability,
        action,
        sum(d.accesses) AS accesses,
        sum(d.attempts) AS attempts,
        nullIf(min(d.first_access), none) AS first_access,
        nullIf(max(d.last_access), never) AS last_access,
        nullIf(min(d.first_attempt), none) AS first_attempt,
        nullIf(max(d.last_attempt), never) AS last_attempt,
        uniqCombined64Merge(14)(d.subjects) AS people,
        uniqCombined64Merge(14)(d.bystanders) AS bystanders,
        groupArrayIf((d.day, d.accesses), d.accesses > 0) AS days
    FROM
    (
        SELECT
            e.partner AS partner,
            e.capability AS capability,
            toString(e.action) AS action,
            toDate(e.bucket, 'UTC') AS day,
            sum(e.accesses) AS accesses,
            sum(e.attempts) AS attempts,
            min(e.first_access) AS first_access,
            max(e.last_access) AS last_access,
            min(e.first_attempt) AS first_attempt,
            max(e.last_attempt) AS last_attempt,
            uniqCombined64MergeState(14)(e.subjects) AS subjects,
            uniqCombined64MergeState(14)(e.bystanders) AS bystanders
        FROM usage AS e
        WHERE e.kind = 'usage' AND e.resolution = 'day'
        GROUP BY partner, capability, action, day
    ) AS d
    GROUP BY partner, capability, action
) AS u
USING (partner, capability, action)
COMMENT 'Each scope that was granted or used: since when, until when, what for, what was done with it, and what a zero rests on';
