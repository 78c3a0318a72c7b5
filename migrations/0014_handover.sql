-- The handover that the last revocation of a key asks for: since when, and for how many seconds the
-- new key is published before it signs; NULL once that is planned, and where none was asked for.
ALTER TABLE key_chain_versions ADD COLUMN handover_since BIGINT;
ALTER TABLE key_chain_versions ADD COLUMN handover_in BIGINT;
