-- What the estate has since its fifth version: passwords that somebody once kept in a table, so that a batch could hand over to another.

CREATE TABLE IF NOT EXISTS vault.role_passwords (
    role text PRIMARY KEY,
    password text NOT NULL
);
