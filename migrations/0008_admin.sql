-- What is looked for among many: the few users that are disabled, have a role at all, or administer,
-- and what happened, by what it was, to whom, and by whom.
CREATE INDEX users_disabled ON users (email_key) WHERE disabled_at IS NOT NULL;
CREATE INDEX users_with_roles ON users (email_key) WHERE roles <> '';
CREATE INDEX users_administrators ON users (id)
    WHERE ' ' || roles || ' ' LIKE '% admin %';
CREATE INDEX audit_events_by_event ON audit_events (event, at, id);
CREATE INDEX audit_events_by_subject ON audit_events (subject, at, id);
CREATE INDEX audit_events_by_actor ON audit_events (actor, at, id);
