-- Mail that waits. A row holds no secret: a token in the letter is computed from the row's id, under
-- a key that is kept sealed.
CREATE TABLE mail_outbox (
    id              TEXT   NOT NULL PRIMARY KEY,
    kind            TEXT   NOT NULL,
    -- As somebody typed it until the row is sorted; then as the account has it.
    recipient       TEXT   NOT NULL,
    -- The user whom it concerns; NULL until it is sorted, where only an address was given.
    user_id         TEXT,
    -- The user's session_epoch for which alone the letter is meant; NULL for any.
    epoch           BIGINT,
    created_at      BIGINT NOT NULL,
    -- Set once it is clear that there is something to send.
    sorted_at       BIGINT,
    attempts        BIGINT NOT NULL,
    -- When it may next be tried. Who tries it moves this ahead first, so that nobody else does.
    due_at          BIGINT NOT NULL,
    last_error      TEXT
);
CREATE INDEX mail_outbox_due ON mail_outbox (due_at);
CREATE INDEX mail_outbox_by_user ON mail_outbox (user_id);

-- How often a kind of mail that anybody can ask for went to one user or address of late.
CREATE TABLE mail_limits (
    kind            TEXT   NOT NULL,
    -- A user's id, or an address as it is compared.
    subject         TEXT   NOT NULL,
    -- The outbox row that was let through last.
    last_id         TEXT   NOT NULL,
    last_at         BIGINT NOT NULL,
    -- The hour that is counted.
    started_at      BIGINT NOT NULL,
    times           BIGINT NOT NULL,
    PRIMARY KEY (kind, subject)
);
CREATE INDEX mail_limits_by_time ON mail_limits (last_at);

-- Single-use tokens in letters. A used one is kept for a while, so that it cannot be made again.
CREATE TABLE mailed_tokens (
    -- The id of the outbox row whose letter carries it.
    id              TEXT   NOT NULL PRIMARY KEY,
    fingerprint     TEXT   NOT NULL UNIQUE,
    purpose         TEXT   NOT NULL,
    user_id         TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- The address that it was mailed to.
    email           TEXT   NOT NULL,
    -- The user's session_epoch for which alone it is good; NULL for any.
    epoch           BIGINT,
    expires_at      BIGINT NOT NULL,
    used_at         BIGINT
);
CREATE INDEX mailed_tokens_by_user ON mailed_tokens (user_id);
CREATE INDEX mailed_tokens_by_expiry ON mailed_tokens (expires_at);
