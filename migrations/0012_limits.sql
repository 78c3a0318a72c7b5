-- What is asked for and not sorted yet is counted before each request for mail, apart from letters.
CREATE INDEX mail_outbox_unsorted ON mail_outbox (id) WHERE sorted_at IS NULL;
