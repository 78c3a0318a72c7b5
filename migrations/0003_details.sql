-- What an application keeps of a user (a JSON object; NULL for none), and counters that every change
-- to what an administrator sees raises, so that two of them cannot overwrite each other unseen.
ALTER TABLE users ADD COLUMN metadata TEXT;
ALTER TABLE users ADD COLUMN version BIGINT NOT NULL DEFAULT 0;

-- Members of the user's metadata that go into this client's tokens, separated by spaces.
ALTER TABLE clients ADD COLUMN claims TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
