-- Valid on SQLite and PostgreSQL: TEXT and BIGINT only, ids made by Signet, times in Unix seconds,
-- a flag is a nullable time.

CREATE TABLE users (
    id              TEXT   NOT NULL PRIMARY KEY,
    email           TEXT   NOT NULL,
    -- The address as it is compared: normalised and in lower case.
    email_key       TEXT   NOT NULL UNIQUE,
    name            TEXT,
    password_hash   TEXT   NOT NULL,
    -- Space-separated names.
    roles           TEXT   NOT NULL,
    -- Raised whenever all sessions of the user end; a session of an older epoch is dead.
    session_epoch   BIGINT NOT NULL,
    email_verified_at BIGINT,
    disabled_at     BIGINT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL
);

CREATE TABLE clients (
    client_id       TEXT   NOT NULL PRIMARY KEY,
    name            TEXT,
    -- 'public' or 'confidential' (RFC 6749 section 2.1).
    client_type     TEXT   NOT NULL,
    grant_types     TEXT   NOT NULL,
    scope           TEXT   NOT NULL,
    audience        TEXT   NOT NULL,
    -- Seconds; the configured default where NULL.
    access_token_lifetime BIGINT,
    disabled_at     BIGINT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL
);

CREATE TABLE client_secrets (
    fingerprint     TEXT   NOT NULL PRIMARY KEY,
    client_id       TEXT   NOT NULL REFERENCES clients (client_id) ON DELETE CASCADE,
    created_at      BIGINT NOT NULL,
    -- Set when a newer secret takes over; both are valid until then.
    expires_at      BIGINT
);
CREATE INDEX client_secrets_by_client ON client_secrets (client_id);

-- A key's state follows from its times: pending until activates_at, active until deactivates_at,
-- retiring until retires_at, then retired.
CREATE TABLE signing_keys (
    kid             TEXT   NOT NULL PRIMARY KEY,
    algorithm       TEXT   NOT NULL,
    -- SubjectPublicKeyInfo, base64.
    public_key      TEXT   NOT NULL,
    -- PKCS#8, sealed under the key-encryption key.
    sealed_private_key TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    activates_at    BIGINT NOT NULL,
    deactivates_at  BIGINT,
    retires_at      BIGINT
);
-- One key of each algorithm has no successor: two rotations at once cannot both append one.
CREATE UNIQUE INDEX signing_keys_newest ON signing_keys (algorithm) WHERE deactivates_at IS NULL;

-- Other keys of the service, sealed likewise: the one that tags refresh tokens.
CREATE TABLE sealed_secrets (
    name            TEXT   NOT NULL PRIMARY KEY,
    sealed_value    TEXT   NOT NULL,
    created_at      BIGINT NOT NULL
);

-- Sessions and revoked access tokens of the embedded session store.
CREATE TABLE sessions (
    sid             TEXT   NOT NULL PRIMARY KEY,
    user_id         TEXT   NOT NULL,
    client_id       TEXT   NOT NULL,
    scope           TEXT   NOT NULL,
    -- Space-separated resources (RFC 8707); empty for the default audience.
    audience        TEXT   NOT NULL,
    epoch           BIGINT NOT NULL,
    started_at      BIGINT NOT NULL,
    -- The generation of the refresh token that has not been redeemed, the one whose redemption
    -- made it, and when.
    current         BIGINT NOT NULL,
    parent          BIGINT NOT NULL,
    advanced_at     BIGINT NOT NULL,
    -- The earlier of the idle and the absolute end.
    expires_at      BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id, started_at);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE revoked_tokens (
    jti             TEXT   NOT NULL PRIMARY KEY,
    expires_at      BIGINT NOT NULL
);
CREATE INDEX revoked_tokens_by_expiry ON revoked_tokens (expires_at);

CREATE TABLE audit_events (
    id              TEXT   NOT NULL PRIMARY KEY,
    at              BIGINT NOT NULL,
    event           TEXT   NOT NULL,
    -- Who did it: a user's or client's id, or 'cli', or 'system'.
    actor           TEXT   NOT NULL,
    subject         TEXT,
    client_id       TEXT,
    detail          TEXT,
    address         TEXT,
    request_id      TEXT
);
CREATE INDEX audit_events_by_time ON audit_events (at, id);
