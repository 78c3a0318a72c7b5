-- Set when a key was withdrawn as compromised; its times say when it left JWKS.
ALTER TABLE signing_keys ADD COLUMN revoked_at BIGINT;

-- Each change to the keys of an algorithm raises its version, so that of two at once one wins.
CREATE TABLE key_chains (
    algorithm       TEXT   NOT NULL PRIMARY KEY,
    version         BIGINT NOT NULL
);
