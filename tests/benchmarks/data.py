"""Rows of the sizes that Sentry sends: light events, issues, full events.

The columns are those of the simulator's records, with what makes real rows large: many
tags, a long message, stack frames with their lines of source.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from tests.sentry.data import Builder, iso

if TYPE_CHECKING:
    from random import Random

    from tests.sentry.data import Event, Issue

#: The number of distinct rows of each kind. The tap drops a row that is among the last
#: thousand of its list, so there must be more.
DISTINCT = 1200
#: The size of a full event in the body of a response, in bytes.
FULL_SIZE = 24_000

TAGS = {
    "browser.name": "Mobile Safari",
    "handled": "no",
    "os.name": "iOS",
    "transaction": "/checkout/{basket}/payment",
    "url": "https://shop.example.com/checkout/1731/payment",
}
SOURCE = (
    "def settle(self, basket, *, currency=None, attempt=0):",
    '    """Charge the customer and book the amount."""',
    "    rate = self.rates.get(currency or basket.currency)",
    "    if rate is None:",
    '        raise LookupError(f"no rate for {basket.currency}")',
    "    amount = sum(line.price * line.count for line in basket) / rate",
    "    with self.ledger.transaction(basket.id) as entry:",
    "        entry.debit(basket.customer, amount)",
    "        answer = self.gateway.charge(basket.customer, amount, attempt)",
    "        entry.credit(self.account, answer.settled)",
    "    return answer",
)


@cache
def rows(kind: str) -> list[bytes]:
    """The distinct rows of a kind, newest first, as encoded in a body."""
    now = datetime.now(UTC)
    build = Builder(now, seed=3)
    organization = build.organization("shop", "Shop", ["shop/web", "shop/old"])
    team = build.team(organization, "checkout")
    project = build.project(organization, "web-shop", "python", [team], users=200)
    written = []
    for number in range(DISTINCT):
        title = f"ZeroDivisionError: no rate for currency {number} of this basket"
        issue = build.issue(project, title, culprit="shop.checkout.payment in settle")
        event = build.event(
            project,
            issue,
            now - timedelta(minutes=5 * number + 5),
            user=build.random.choice(build.pools[project.id]),
            extra_tags=tuple(TAGS.items()),
        )
        issue.events.add(event)
        row = RECORDS[kind](event, issue, build.random)
        written.append(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
    return [text.encode() for text in written]


def light(event: Event, issue: Issue, random: Random) -> dict[str, Any]:
    """An event as a list shows it by default."""
    del issue, random
    return event.light()


def listed(event: Event, issue: Issue, random: Random) -> dict[str, Any]:
    """An issue as the organization's list shows it."""
    del event, random
    record = issue.record()
    figures = {
        name: record[name] for name in ("count", "userCount", "firstSeen", "lastSeen")
    }
    metadata = {
        "function": "settle",
        "in_app_frame_mix": "mixed",
        "initial_priority": 50,
        "display_title_with_tree_label": False,
        "sdk": {"name": "sentry.python", "name_normalized": "sentry.python"},
    }
    value = f"{record['metadata']['value']} in {', '.join(TAGS.values())}"
    ticket = {"displayName": "SHOP-1731", "url": "https://shop.example.com/t/SHOP-1731"}
    owner = {"type": "team", "id": "3", "name": "checkout"}
    return record | {
        "title": f"ZeroDivisionError: {value}",
        "metadata": record["metadata"] | metadata | {"value": value},
        "assignedTo": owner,
        "annotations": [ticket, ticket],
        "isUnhandled": True,
        "lifetime": figures,
        "filtered": None,
    }


def full(event: Event, issue: Issue, random: Random) -> dict[str, Any]:
    """An event with `full=true`, nearly all of it stack frames."""
    del issue
    record = event.full()
    entries = list(event.entries.rows[1:])
    exception: dict[str, Any] = {
        "type": "ZeroDivisionError",
        "value": event.message,
        "mechanism": {"type": "generic", "handled": False},
        "threadId": None,
        "module": "shop.checkout",
        "stacktrace": {
            "frames": [],
            "framesOmitted": None,
            "registers": None,
            "hasSystemFrames": True,
        },
        "rawStacktrace": None,
    }
    size = len(json.dumps([record, entries, exception]))
    frames = []
    while size < FULL_SIZE:
        frames.append(frame(random))
        size += len(json.dumps(frames[-1], separators=(",", ":")))
    exception["stacktrace"]["frames"] = frames
    values = {"values": [exception], "hasSystemFrames": True, "excOmitted": None}
    return record | {"entries": [{"type": "exception", "data": values}, *entries]}


def frame(random: Random) -> dict[str, Any]:
    """One frame of a stack trace."""
    module = random.choice(("payment", "basket", "ledger", "gateway", "rates"))
    line = random.randrange(10, 2000)
    first = line - len(SOURCE) // 2
    return {
        "filename": f"shop/checkout/{module}.py",
        "absPath": f"/srv/shop/releases/{random.randrange(1000)}/shop/{module}.py",
        "module": f"shop.checkout.{module}",
        "package": None,
        "platform": None,
        "instructionAddr": None,
        "symbolAddr": None,
        "function": "settle",
        "rawFunction": None,
        "symbol": None,
        "context": [[first + n, text] for n, text in enumerate(SOURCE)],
        "lineNo": line,
        "colNo": None,
        "inApp": module != "gateway",
        "trust": None,
        "errors": None,
        "lock": None,
        "sourceLink": None,
        "vars": {
            "amount": f"{random.random() * 1000:.2f}",
            "attempt": random.randrange(5),
            "basket": f"<Basket {random.getrandbits(64):x} with “{line}” lines>",
            "currency": None,
            "password": "[Filtered]",
        },
    }


RECORDS = {"light": light, "issues": listed, "full": full}


def organization() -> bytes:
    """The body of the list of organizations."""
    now = datetime.now(UTC)
    build = Builder(now, seed=3)
    row = build.organization("shop", "Shop", ["shop/web"]).row()
    return json.dumps([row]).encode()


def project() -> bytes:
    """The body of the list of projects."""
    row = {"id": "7", "slug": "web-shop", "name": "Web Shop", "platform": "python"}
    created = iso(datetime(2026, 1, 1, tzinfo=UTC))
    return json.dumps([row | {"dateCreated": created}]).encode()
