-- Addresses sort by code point, as they do on SQLite, whatever the locale of the database: so all that
-- begin with the same letters stand side by side, and the unique index finds them.
ALTER TABLE users ALTER COLUMN email_key TYPE TEXT COLLATE "C";
