"""Requests to a simulated Explore, for tests."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from requests.utils import parse_header_links

from tests.sentry import TOKEN, SentrySimulator
from tests.sentry.explore import explore_rows

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
SECOND = NOW - timedelta(minutes=5)
ORG = "the-interstellar-jurisdiction"


def simulated(flavour="saas", **options):
    return SentrySimulator(flavour=flavour, clock=lambda: NOW, **options)


def send(sentry, query, organization=ORG, token=TOKEN):
    """Send a query as it is, and return the answer."""
    url = f"{sentry.url}/api/0/organizations/{organization}/events/?{query}"
    return sentry.answer("GET", url, {"Authorization": f"Bearer {token}"})


def ask(sentry, dataset="errors", *, organization=ORG, **params):
    """Send a request, of all projects unless it says otherwise."""
    params = {"dataset": dataset, "project": "-1"} | params
    given = {name: value for name, value in params.items() if value is not None}
    return send(sentry, urlencode(given, doseq=True), organization)


def body_of(answer):
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def rows_of(sentry, dataset="errors", **params):
    return body_of(ask(sentry, dataset, **params))["data"]


def detail_of(answer):
    return answer.status, json.loads(answer.body)["detail"]


def truth(sentry, dataset="errors", start=None, end=NOW, *args):
    organization = sentry.organization(ORG)
    return explore_rows(sentry, organization, dataset, start, end, *args)


def crawl(sentry, dataset, **params):
    """Return the rows of all pages."""
    rows = []
    while True:
        answer = ask(sentry, dataset, **params)
        rows += body_of(answer)["data"]
        following = links_of(answer.headers["Link"])["next"]
        if following["results"] == "false":
            return rows
        params["cursor"] = following["cursor"]


def links_of(header):
    return {link["rel"]: link for link in parse_header_links(header)}


def span(number, at=SECOND, **columns):
    common = {"id": f"{number:016x}", "trace": "t", "timestamp": at}
    return common | {"project": "pump-station"} | columns


def iso(moment):
    return f"{moment:%Y-%m-%dT%H:%M:%S}"
