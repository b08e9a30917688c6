"""The part of Sentry's issue search that is simulated."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.sentry.answers import refuse
from tests.sentry.times import parse_date

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tests.sentry.data.objects import (
        Issue,
    )


TERM = re.compile(r'(!?)([\w.]+):(\[[^\]]*\]|"[^"]*"|\S+)|("[^"]*"|\S+)')


def searched(query: str) -> Callable[[Issue, datetime], bool]:
    """Parse an issue search; terms that are not simulated are refused with 400."""
    terms: list[Callable[[Issue, datetime], bool]] = []
    for negated, name, value, text in TERM.findall(query):
        if text:
            terms.append(titled(text.strip('"').lower()))
        elif name in {"lastSeen", "firstSeen"}:
            terms.append(compared(name, value))
        else:
            values = {part.strip(' "') for part in value.strip("[]").split(",")}
            terms.append(matched(name, values, negated=bool(negated)))
    return lambda issue, latest: all(term(issue, latest) for term in terms)


def titled(wanted: str) -> Callable[[Issue, datetime], bool]:
    """Match issues whose title contains a text."""
    return lambda issue, _: wanted in issue.title.lower()


def matched(
    name: str, values: set[str], *, negated: bool
) -> Callable[[Issue, datetime], bool]:
    """Match issues by one property."""
    known: dict[str, Callable[[Issue], str]] = {
        "is": lambda issue: issue.status,
        "issue.category": lambda issue: issue.category,
        "issue.priority": lambda issue: issue.priority or "",
        "issue.type": lambda issue: issue.type,
        "level": lambda issue: issue.level,
        "issue": lambda issue: issue.short_id,
    }
    if name not in known:
        raise refuse(400, f"Error parsing search query: {name} is not simulated")
    if name == "is":
        values = {"ignored" if value == "archived" else value for value in values}
        if unknown := values - {"unresolved", "resolved", "ignored"}:
            raise refuse(400, f'Invalid value for "is" search: {unknown.pop()}')
    return lambda issue, _: (known[name](issue) in values) is not negated


def compared(name: str, value: str) -> Callable[[Issue, datetime], bool]:
    """Match issues by the date they were first or last seen."""
    match = re.fullmatch(r"(>=|<=|>|<)(.+)", value)
    try:
        bound = parse_date(match[2] if match else "")
    except ValueError:
        raise refuse(400, f"{value} is not a valid ISO8601 date query") from None
    compare: dict[str, Callable[[datetime], bool]] = {
        ">=": lambda seen: seen >= bound,
        "<=": lambda seen: seen <= bound,
        ">": lambda seen: seen > bound,
        "<": lambda seen: seen < bound,
    }
    test = compare[match[1] if match else ">="]
    if name == "lastSeen":
        return lambda _, latest: test(latest)
    return lambda issue, _: test(issue.first_seen)
