"""Tests against a real Sentry: `make live SENTRY_URL=… SENTRY_TOKEN=…`.

They only read. The variables of the environment:

SENTRY_URL, SENTRY_TOKEN
    The server, and a token that may read all of it.
SENTRY_ORGANIZATIONS
    Slugs, separated by commas; without it, all organizations that the token can list.
SENTRY_START
    The first day to read, for a server with a lot of data; not with SENTRY_TRUTH.
SENTRY_WITHOUT
    Streams, separated by commas, to leave out: those whose scope the token lacks, such
    as organization_audit_logs.
SENTRY_TRUTH
    A folder of CSV files from the database of the server; see `truth.py`.
SENTRY_TOKEN_ORG_ONLY, SENTRY_TOKEN_NO_EVENT, SENTRY_TOKEN_NONE, SENTRY_TOKEN_EXPIRED
    Tokens with the scope org:read alone, without event:read, without any scope, and
    one that has expired. Tests whose variable is not set are left out.
TARGET_JSONL
    The target-jsonl command; without it, the one that `make live` installs.
"""
