-- Acts keep how many people were affected, so that an acknowledged finding is told again when they have grown tenfold.

ALTER TABLE finding_actions ADD COLUMN IF NOT EXISTS people UInt64 COMMENT 'People affected when it was done, as they were known then; 0 also in rows of versions that did not keep it';

ALTER TABLE finding_actions COMMENT COLUMN IF EXISTS act 'ack: somebody is on it; silence: not told until a time; resolve: dealt with; verdict: what it turned out to be; and noted by overreach itself: seen again, it went on after it was resolved; goes on, it was told in a digest alone, as old, and goes on now; grown, it was acknowledged, and its people have grown tenfold since it last paged';
