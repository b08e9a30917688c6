"""Names of organizations, projects and teams in the settings."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

#: A host name, an IPv4 address or, with colons, an IPv6 address.
_HOST = re.compile(r"\w([\w.-]*\w)?\.?|[0-9a-f:.]*:[0-9a-f:.]*(%\w+)?")


@dataclass(frozen=True)
class Names:
    """Names to include and to exclude: slugs, ids or globs."""

    included: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Iterable[str]) -> Names:
        """Separate the names to exclude, which begin with `!`, from the others."""
        names = [name.strip() for name in names]
        return cls(
            tuple(name for name in names if not name.startswith("!")),
            tuple(name[1:].strip() for name in names if name.startswith("!")),
        )

    def match(self, *aliases: str) -> bool:
        """Return whether something with these aliases (slug, id) is selected."""
        if any(_fits(pattern, aliases) for pattern in self.excluded):
            return False
        return not self.included or any(_fits(p, aliases) for p in self.included)

    def unmatched(self, known: Iterable[tuple[str, ...]]) -> list[str]:
        """Return the names and globs to include that match nothing."""
        known = list(known)
        return [
            pattern
            for pattern in self.included
            if not any(_fits(pattern, aliases) for aliases in known)
        ]


def _fits(pattern: str, aliases: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(alias, pattern) for alias in aliases)


def parse_url(text: str) -> str:
    """Return the address of a server, without a trailing `/` or `/api/0/`.

    Raises:
        ValueError: If it is not an address that requests can be sent to.
    """
    text = text.strip()
    if re.search(r"\s", text):
        msg = "the address must not contain spaces"
        raise ValueError(msg)
    parts = urlsplit(text)
    # Reading the port checks it.
    if (
        parts.scheme not in {"http", "https"}
        or not _HOST.fullmatch(parts.hostname or "")
        or parts.port == 0
    ):
        msg = "the address must look like https://sentry.example.com"
        raise ValueError(msg)
    if parts.username or parts.password:
        msg = "the address must not contain a user or password"
        raise ValueError(msg)
    if parts.query or parts.fragment:
        msg = "the address must end before ? and #"
        raise ValueError(msg)
    path = parts.path.rstrip("/").removesuffix("/api/0").removesuffix("/api")
    return f"{parts.scheme}://{parts.netloc}{path.rstrip('/')}"


def name_in_url(url: str, place: str) -> str | None:
    """Return the name that follows `place` in the URL of a Sentry page.

    An organization can also be the first part of the host: acme.sentry.io.
    """
    parts = urlsplit(url if "//" in url else f"//{url}")
    segments = [segment for segment in parts.path.split("/") if segment]
    for word, name in pairwise(segments):
        if word == place:
            return name
    if place == "projects":
        return next(iter(parse_qs(parts.query).get("project", [])), None)
    host = parts.hostname or ""
    if place == "organizations" and host.endswith(".sentry.io"):
        subdomain = host.removesuffix(".sentry.io")
        return None if subdomain in {"us", "de", "www"} else subdomain
    return None
