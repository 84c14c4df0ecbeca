-- An alert that fires is told again when others have joined it.

ALTER TABLE deliveries COMMENT COLUMN IF EXISTS kind 'What the event says: firing, joined, resolved or digest';
