-- Where a session was begun or last refreshed: the caller's address, and the user agent in a few
-- words. NULL where it is not known.
ALTER TABLE sessions ADD COLUMN address TEXT;
ALTER TABLE sessions ADD COLUMN user_agent TEXT;
