-- How a session came about. All NULL in rows of the previous version, which ignores these columns: its
-- sessions are direct, of a login with a password at their start.
-- NULL: a direct session (password grant); otherwise 'browser', 'online' or 'standing'.
ALTER TABLE sessions ADD COLUMN kind TEXT;
-- The browser session that the session was given from.
ALTER TABLE sessions ADD COLUMN browser_sid TEXT;
-- When the user proved a first factor; NULL in rows of the previous version alone.
ALTER TABLE sessions ADD COLUMN auth_time BIGINT;
-- The authentication context class, and the methods separated by spaces (RFC 8176).
ALTER TABLE sessions ADD COLUMN acr TEXT;
ALTER TABLE sessions ADD COLUMN amr TEXT;
-- The absolute end, where it is not sessions.absolute_lifetime after the start.
ALTER TABLE sessions ADD COLUMN ends_at BIGINT;
-- A JSON object with what else a grant has to keep.
ALTER TABLE sessions ADD COLUMN details TEXT;
