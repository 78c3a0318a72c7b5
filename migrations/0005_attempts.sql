-- Attempts to guess passwords, one small text an account or network; the name is a keyed hash.
-- Kept here where sessions are; an installation with sessions in Redis has them there.
CREATE TABLE login_attempts (
    id              TEXT   NOT NULL PRIMARY KEY,
    record          TEXT   NOT NULL,
    -- When there is nothing in it any more that counts.
    expires_at      BIGINT NOT NULL
);
CREATE INDEX login_attempts_by_expiry ON login_attempts (expires_at);
