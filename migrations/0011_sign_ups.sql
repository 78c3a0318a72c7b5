-- Sign-ups whose address is yet to be proven, where the service asks for the proof
-- (signup.require_verified_email). Up to five of one address stand beside each other; the first one
-- that is proven becomes the account.
CREATE TABLE pending_signups (
    id              TEXT   NOT NULL PRIMARY KEY,
    email           TEXT   NOT NULL,
    -- The address as it is compared.
    email_key       TEXT   NOT NULL,
    name            TEXT,
    password_hash   TEXT   NOT NULL,
    -- SHA-256 of the signup token that the caller was given.
    fingerprint     TEXT   NOT NULL,
    -- When no token for it can be good any more: set once, when it is made.
    expires_at      BIGINT NOT NULL
);
CREATE INDEX pending_signups_by_address ON pending_signups (email_key, id);
CREATE INDEX pending_signups_by_expiry ON pending_signups (expires_at);

-- Tokens that were mailed to addresses of pending sign-ups. They have no account to refer to.
CREATE TABLE pending_tokens (
    -- The id of the outbox row whose message carries it.
    id              TEXT   NOT NULL PRIMARY KEY,
    fingerprint     TEXT   NOT NULL UNIQUE,
    purpose         TEXT   NOT NULL,
    -- The sign-up that it was mailed for, which may be gone; NULL where it was asked for by address.
    signup_id       TEXT,
    -- The address that it was mailed to, and as it is compared.
    email           TEXT   NOT NULL,
    email_key       TEXT   NOT NULL,
    expires_at      BIGINT NOT NULL,
    used_at         BIGINT
);
CREATE INDEX pending_tokens_by_address ON pending_tokens (email_key);
CREATE INDEX pending_tokens_by_expiry ON pending_tokens (expires_at);

-- Of an account that was made at once, the SHA-256 of its signup token, as long as the address is
-- not proven and all sessions have not been ended.
CREATE TABLE signup_tokens (
    user_id         TEXT   NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    fingerprint     TEXT   NOT NULL,
    -- The user's session_epoch for which alone it is good.
    epoch           BIGINT NOT NULL
);
