-- The session of a revoked access token (a row with the claim 'jti'), so that those of one session
-- can be counted; its column issued_before then has the token's iat and one second. NULL where the
-- previous version wrote the row, or the token is a client's own.
ALTER TABLE revocations ADD COLUMN session_id TEXT;
CREATE INDEX revocations_by_owner ON revocations (owner);
