"""Remove what no warehouse should hold: credentials, and the settings of accounts.

Lists of Sentry repeat whole accounts in places such as `createdBy`, and some hold the
secret of a client key or a hook.
"""

from __future__ import annotations

import re
from typing import Any

#: Names of fields with credentials, in lower case and without underscores.
SECRETS = frozenset(
    {
        "apikey",
        "authtoken",
        "clientsecret",
        "configdata",
        "headers",
        "password",
        "privatekey",
        "secret",
        "secretkey",
        "securitytoken",
        "token",
    }
)
#: Fields that only a whole account has.
ACCOUNT = frozenset({"emails", "hasPasswordAuth", "identities", "isSuperuser"})
#: What is left of an account.
PERSON = ("id", "name", "username", "email")

_MAY_HOLD_SECRET = re.compile(
    rb"secret|token|password|private_?key|api_?key|config_?data|\"headers\""
    rb"|\"emails\"|\"identities\"|\"issuperuser\"",
    re.IGNORECASE,
)


def may_hold_secret(body: bytes) -> bool:
    """Return whether a JSON text has to be searched."""
    return _MAY_HOLD_SECRET.search(body) is not None


def without_secrets(value: Any) -> Any:
    """Return a value without credentials, with accounts reduced to a few fields."""
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    if not isinstance(value, dict):
        return value
    if ACCOUNT & value.keys():
        return {name: value[name] for name in PERSON if name in value}
    return {
        name: without_secrets(item)
        for name, item in value.items()
        if name.lower().replace("_", "") not in SECRETS
    }
