-- What siblings must hear: access tokens that are dead before their time. A row is an entry; the rows
-- of one number are one change. Numbers have no gaps and follow the order of commits. A row goes when
-- no token that it concerns can be alive.
CREATE TABLE revocations (
    seq             BIGINT NOT NULL,
    -- The entries of a change, from 0.
    part            BIGINT NOT NULL,
    -- The claim that tells the tokens ('sid', 'jti', 'sub', 'client_id'; 'kid' stands in their
    -- header), and its value.
    claim           TEXT   NOT NULL,
    value           TEXT   NOT NULL,
    -- Whose session or token it is.
    owner           TEXT,
    -- Of a subject or a client, the tokens issued before.
    issued_before   BIGINT,
    changed_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    PRIMARY KEY (seq, part)
);
CREATE INDEX revocations_by_expiry ON revocations (expires_at);

-- The one row of it numbers the changes: whoever makes one holds it until the commit.
CREATE TABLE revocation_history (
    id              BIGINT NOT NULL PRIMARY KEY,
    -- A random name, so that numbers of another database are not taken for this one's.
    epoch           TEXT   NOT NULL,
    last_seq        BIGINT NOT NULL,
    -- The longest that access tokens can be taken for alive, in seconds, and when that was last so.
    token_life      BIGINT NOT NULL,
    token_life_seen_at BIGINT NOT NULL
);
