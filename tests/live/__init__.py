"""Tests against a real Sentry: `make live SENTRY_URL=… SENTRY_TOKEN=…`.

They only read. What the variables of the environment mean:

SENTRY_URL, SENTRY_TOKEN
    The server, and a token that may read all of it.
SENTRY_ORGANIZATIONS
    Slugs, separated by commas; without it, all that the token can list.
SENTRY_START
    The day from which on to read, for a server that holds a lot; not with a truth.
SENTRY_TRUTH
    A folder of CSV files with what the server really holds, see `truth.py`.
SENTRY_TOKEN_ORG_ONLY, SENTRY_TOKEN_NO_EVENT, SENTRY_TOKEN_NONE, SENTRY_TOKEN_EXPIRED
    Tokens with the scope org:read alone, without event:read, without any scope, and
    one that has expired. Tests whose variable is not set are left out.
TARGET_JSONL
    The command target-jsonl; without it, the one that `make live` installs.
"""
