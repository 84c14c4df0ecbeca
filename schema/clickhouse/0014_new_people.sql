-- People whom a key had not touched before are counted by the day.

ALTER TABLE scores COMMENT COLUMN IF EXISTS metric 'What was counted: accesses, people (estimated), bytes, new_people (of a day, not touched in the 28 days before; estimated), or mix: the share of accesses that moved';

ALTER TABLE scores MODIFY COMMENT 'How unusual each key of a registered partner was in each closed hour from its first access of a day to the day''s end, and in each closed day and week, whether it made a finding or not. Kept for 400 days. Read it with FINAL';
