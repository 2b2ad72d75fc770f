#!/bin/sh
# Runs once, when the database is empty: two roles and the database that the first of them owns.
# holdfast_owner makes and changes tables (migrations); holdfast_app reads and writes rows, and cannot change those that are final.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set owner_password="$(cat /run/secrets/database_owner_password)" \
    --set app_password="$(cat /run/secrets/database_app_password)" <<'SQL'
CREATE ROLE holdfast_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'owner_password';
CREATE ROLE holdfast_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'app_password';
CREATE DATABASE holdfast OWNER holdfast_owner;
REVOKE ALL ON DATABASE holdfast FROM PUBLIC;
GRANT CONNECT ON DATABASE holdfast TO holdfast_app;
SQL
