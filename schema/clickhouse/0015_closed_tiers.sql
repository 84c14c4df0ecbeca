-- Closed buckets are compared with the past at a pace of their own, so that no window waits for that.

ALTER TABLE judged MODIFY COLUMN tier Enum8('minute' = 1, 'hour' = 2, 'day' = 3, 'closed hour' = 4, 'closed day' = 5) COMMENT 'What was judged: windows that slide in steps of a minute, hour or day; hours of the clock, or days and weeks, once they are closed';
