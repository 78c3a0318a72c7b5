-- Authenticates a row: a tag over its kid, algorithm, public part, times and kind, under the
-- key-encryption key. Rows of before this migration get theirs once, by the first process that has
-- that key; from then on a row without a tag is not used.
ALTER TABLE signing_keys ADD COLUMN tag TEXT;

-- That one key of an algorithm has no successor is checked by the transaction that changes keys,
-- among the rows that verify: one that does not must not take the place of one that does.
DROP INDEX signing_keys_newest;

-- The previous version of Signet writes no tags. It may run beside this one and read the keys, but
-- whatever it would change begins with a write to `key_chains`, which is a view now and refuses it.
CREATE TABLE key_chain_versions (
    algorithm       TEXT   NOT NULL PRIMARY KEY,
    version         BIGINT NOT NULL
);
INSERT INTO key_chain_versions (algorithm, version) SELECT algorithm, version FROM key_chains;
DROP TABLE key_chains;
CREATE VIEW key_chains AS
    SELECT algorithm, MAX(version) AS version FROM key_chain_versions GROUP BY algorithm;
