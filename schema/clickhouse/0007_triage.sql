-- What people did about findings, and what receivers were sent.

CREATE TABLE IF NOT EXISTS finding_actions
(
    finding String                          COMMENT 'Id of the finding',
    at      DateTime64(3, 'UTC')            COMMENT 'When it was done, by the wall clock, UTC',
    act     LowCardinality(String)          COMMENT 'ack: somebody is on it; silence: nobody is notified until a time; resolve: dealt with; verdict: what it turned out to be; and noted by overreach itself: seen again, it went on after it was resolved; goes on, it was reported in a digest alone, as old, and goes on now; grown, it was acknowledged, and its people have grown tenfold since it last paged',
    who     String                          COMMENT 'Who did it',
    reason  String                          COMMENT 'Why, in their words',
    until   Nullable(DateTime64(3, 'UTC'))  COMMENT 'End of a silence, UTC; not after at: it is lifted; NULL for other acts',
    verdict LowCardinality(String)          COMMENT 'true: overreach; benign: so, and all right; false: not so; empty for other acts',
    people UInt64 COMMENT 'People affected when it was done, as they were known then; 0 also in rows of versions that did not keep it'
)
ENGINE = MergeTree
ORDER BY (finding, at)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'What people did about findings, append-only: of several acts of one kind the latest holds';

CREATE TABLE IF NOT EXISTS deliveries
(
    receiver LowCardinality(String) COMMENT 'alertmanager or webhook, with its address',
    event    String                 COMMENT 'Id of the event, the same in every attempt and instance',
    kind     LowCardinality(String) COMMENT 'What the event says: firing, joined, resolved or digest',
    alert    String                 COMMENT 'Id of the alert that it is about',
    partner  String                 COMMENT 'The third party',
    at       DateTime64(3, 'UTC')   COMMENT 'When the last attempt ended, by the wall clock, UTC',
    outcome  LowCardinality(String) COMMENT 'delivered; refused: the receiver said that trying again is of no use; gave up: it was too old, or over; overtaken: superseded before it was sent',
    attempts UInt32                 COMMENT 'How often it was tried',
    detail   String                 COMMENT 'The last error; empty for none'
)
ENGINE = MergeTree
ORDER BY (receiver, event, at)
TTL toDateTime(at) + toIntervalDay(400)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'What each receiver was sent, and what could not be delivered. Kept for 400 days';

CREATE OR REPLACE VIEW triage
(
    finding           String                         COMMENT 'Id of the finding',
    acknowledged_by   String                         COMMENT 'Who was last on it; empty: nobody',
    acknowledged_at   Nullable(DateTime64(3, 'UTC')) COMMENT 'Since when, UTC',
    silenced_by       String                         COMMENT 'Who silenced it last; empty: nobody',
    silenced_until    Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when, UTC; past: the silence is over',
    silence_reason    String                         COMMENT 'Why',
    resolved_by       String                         COMMENT 'Who said last that it is dealt with; empty: nobody, or it was seen again since',
    resolved_at       Nullable(DateTime64(3, 'UTC')) COMMENT 'When, UTC',
    verdict           LowCardinality(String)         COMMENT 'Latest verdict: true, benign, false; empty: none',
    verdict_by        String                         COMMENT 'Whose',
    verdict_reason    String                         COMMENT 'Why'
)
AS
SELECT
    a.finding AS finding,
    argMaxIf(a.who, a.at, a.act = 'ack') AS acknowledged_by,
    if(countIf(a.act = 'ack') = 0, NULL, maxIf(a.at, a.act = 'ack')) AS acknowledged_at,
    argMaxIf(a.who, a.at, a.act = 'silence') AS silenced_by,
    argMaxIf(a.until, a.at, a.act = 'silence') AS silenced_until,
    argMaxIf(a.reason, a.at, a.act = 'silence') AS silence_reason,
    if(resolved_at IS NULL, '', argMaxIf(a.who, a.at, a.act = 'resolve')) AS resolved_by,
    if(maxIf(a.at, a.act = 'resolve') <= maxIf(a.at, a.act = 'seen again'), NULL, maxIf(a.at, a.act = 'resolve')) AS resolved_at,
    argMaxIf(a.verdict, a.at, a.act = 'verdict') AS verdict,
    argMaxIf(a.who, a.at, a.act = 'verdict') AS verdict_by,
    argMaxIf(a.reason, a.at, a.act = 'verdict') AS verdict_reason
FROM finding_actions AS a
GROUP BY finding
COMMENT 'What holds of each finding that somebody did something about';

CREATE OR REPLACE VIEW silences
(
    finding   String               COMMENT 'Id of the finding that was silenced; the silence covers its whole run of days, and nothing after it',
    partner   String               COMMENT 'The third party',
    detector  String               COMMENT 'What found it',
    owner     String               COMMENT 'Who silenced it',
    reason    String               COMMENT 'Why',
    since     DateTime64(3, 'UTC') COMMENT 'From when, UTC',
    until     DateTime64(3, 'UTC') COMMENT 'Until when, UTC: as it was set, or when a later silence of the finding took its place',
    held_back UInt64               COMMENT 'How many tellings it held back: new days, and rises to critical'
)
AS
SELECT
    s.finding AS finding,
    any(f.partner) AS partner,
    any(f.detector) AS detector,
    any(s.owner) AS owner,
    any(s.reason) AS reason,
    s.since AS since,
    any(s.ends) AS until,
    countIf(c.reported >= s.since AND c.reported < s.ends AND c.change IN ('new', 'continued', 'raised', 'reopened')) AS held_back
FROM
(
    SELECT finding, who AS owner, reason, at AS since,
        least(assumeNotNull(until), leadInFrame(at, 1, assumeNotNull(until)) OVER (PARTITION BY finding ORDER BY at ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING)) AS ends
    FROM finding_actions
    WHERE act = 'silence'
) AS s
INNER JOIN findings AS f ON f.id = s.finding
INNER JOIN
(
    -- Every finding with the others of its run, itself included.
    SELECT a.id AS id, b.id AS other
    FROM (SELECT id, detector, partner, capability, window, cause, since, if(window IN ('hour', '24 hours'), '', id) AS alone FROM findings) AS a
    INNER JOIN (SELECT id, detector, partner, capability, window, cause, since, if(window IN ('hour', '24 hours'), '', id) AS alone FROM findings) AS b
    USING (detector, partner, capability, window, cause, since, alone)
) AS r ON r.id = s.finding
LEFT JOIN finding_changes AS c ON c.id = r.other
WHERE s.ends > s.since
GROUP BY finding, since
COMMENT 'Every silence with its owner, reason and end, and how much it held back';

CREATE OR REPLACE VIEW alert_precision
(
    detector       LowCardinality(String) COMMENT 'What found it',
    severity       LowCardinality(String) COMMENT 'warning or critical',
    findings       UInt64                 COMMENT 'Number of findings, without the withdrawn',
    judged         UInt64                 COMMENT 'How many of them have a verdict',
    verdict_true   UInt64                 COMMENT 'Verdict true: overreach, as it says',
    verdict_benign UInt64                 COMMENT 'Verdict benign: so, and all right',
    verdict_false  UInt64                 COMMENT 'Verdict false: not so',
    precision      Nullable(Float64)      COMMENT 'verdict_true / judged: how many were worth a person''s time; NULL: none was judged',
    accuracy       Nullable(Float64)      COMMENT '(verdict_true + verdict_benign) / judged: how many were so; NULL: none was judged'
)
AS
SELECT
    f.detector AS detector,
    f.severity AS severity,
    count() AS findings,
    countIf(t.verdict != '') AS judged,
    countIf(t.verdict = 'true') AS verdict_true,
    countIf(t.verdict = 'benign') AS verdict_benign,
    countIf(t.verdict = 'false') AS verdict_false,
    if(judged = 0, NULL, verdict_true / judged) AS precision,
    if(judged = 0, NULL, (verdict_true + verdict_benign) / judged) AS accuracy
FROM (SELECT id, detector, severity FROM findings_log FINAL WHERE state != 'withdrawn') AS f
LEFT JOIN triage AS t ON t.finding = f.id
GROUP BY detector, severity
COMMENT 'By detector and severity, how many findings turned out to be what they say, by the verdicts given';
