-- What a role stands for. Users carry names of roles; a name without a row here carries no scope.
CREATE TABLE roles (
    name            TEXT   NOT NULL PRIMARY KEY,
    -- Space-separated words (RFC 6749 section 3.3).
    scope           TEXT   NOT NULL,
    description     TEXT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    -- Raised by every change.
    version         BIGINT NOT NULL
);
