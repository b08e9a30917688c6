"""Numbers, paths and names that the pages give in words are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.describe_streams import BY_NAME
from tap_sentry.api.rate_limits import USUAL_CONCURRENT, USUAL_LIMIT
from tap_sentry.api.retention import PERIODS
from tap_sentry.api.scheduler import ATTEMPTS, ATTEMPTS_IF_FOREIGN
from tap_sentry.cli.execution import GRACE_PERIOD
from tap_sentry.settings import SETTINGS
from tap_sentry.streams.events import ProjectEvents
from tap_sentry.sync.results import ENOUGH
from tests.sentry.calls import SAAS_LIMITS
from tests.settings.test_settings import code, table_of

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WORDS = {1: "a", 2: "two", 4: "four", 5: "five", 7: "seven"}


def page(name: str) -> str:
    """The text of a page, without line breaks."""
    return re.sub(r"\s+", " ", (ROOT / name).read_text("utf-8"))


def test_the_readme_has_the_limits_of_sentry():
    """The README says how many requests, and so events, sentry.io allows a minute."""
    events = SAAS_LIMITS["projects/{org}/{project}/events/"]
    users = SAAS_LIMITS["projects/{org}/{project}/users/"]
    most, full = ProjectEvents.page_sizes[0], 10
    text = page("README.md")

    assert (events.window, users.window, events.concurrent) == (60, 60, 1)
    assert f"{events.limit} requests a minute, one at a time for each user" in text
    assert f"That is {events.limit * most:,} events a minute" in text
    assert f"so 300,000 events take {300_000 // (events.limit * most)} minutes" in text
    assert f"and for entries it is {events.limit * full} events a minute" in text
    assert (
        f"`project_users` is limited to {WORDS[users.limit]} requests a minute" in text
    )


def test_the_readme_says_how_fast_events_are_read_by_issue():
    """At most a request for each issue and page, at the limit of most lists."""
    limit = SAAS_LIMITS["*"]
    requests = 300_000 // ProjectEvents.page_sizes[0] + 2_000
    minutes = WORDS[round(requests / limit.limit / 60)]
    default = SETTINGS.to_dict()["properties"]["concurrency"]["default"]
    text = page("README.md")

    usual = (1, USUAL_LIMIT, USUAL_CONCURRENT)
    assert (limit.window, limit.limit, limit.concurrent) == usual
    assert f"up to {limit.limit} requests a second, as for most lists" in text
    assert "300,000 events of 2,000 issues are at most " in text
    assert f"at most {requests:,} requests, which take {minutes} minutes" in text
    assert f"For {limit.limit} a second with the default `concurrency`" in text
    assert f"answer within {default / limit.limit} seconds" in text
    assert f"less than {100 * ENOUGH} %" in text


def test_the_readme_says_how_the_plan_comes_about():
    """The picture of a plan keeps to what the README says about its requests."""
    (line,) = re.findall(
        r"^project_events +300,000 +([\d,]+) +(\d+) min (\d+) s +20 by issue$",
        (ROOT / "README.md").read_text("utf-8"),
        re.MULTILINE,
    )
    requests, minutes, seconds = (int(part.replace(",", "")) for part in line)

    assert requests <= 300_000 // ProjectEvents.page_sizes[0] + 2_000
    # The lists and the counts of the projects have limits of their own, and the first
    # second of requests is not held back.
    least = (requests - 2 * 20) // USUAL_LIMIT - 1
    # The limit alone, and a benchmark's bound for a run.
    assert 1 <= (60 * minutes + seconds) / least <= 1.25


@pytest.mark.parametrize(
    ("endpoint", "template", "unit"),
    [
        ("events of projects", "projects/{org}/{project}/events/", "minute"),
        ("users of projects", "projects/{org}/{project}/users/", "minute"),
        ("counts of projects", "projects/{org}/{project}/stats/", "second"),
        ("all others, such as events of issues", "*", "second"),
        (
            "counts of organizations and teams",
            "organizations/{org}/stats_v2/",
            "second",
        ),
    ],
)
def test_the_page_about_shards_has_the_limits_of_sentry(endpoint, template, unit):
    """The table of limits has those of the simulated sentry.io."""
    header = (
        "endpoint",
        "requests that sentry.io allows each caller",
        "what more runs with one caller bring",
    )
    (row,) = [
        r for r in table_of("docs/scaling.md", *header) if r[header[0]] == endpoint
    ]
    limit = SAAS_LIMITS[template]

    assert limit.window == {"minute": 60, "second": 1}[unit]
    assert row[header[1]].startswith(f"{limit.limit} a {unit}")
    if limit.concurrent == 1:
        assert row[header[1]].endswith("one at a time")
    elif limit.concurrent < 100:
        assert row[header[1]].endswith(f"{limit.concurrent} at a time")


def test_the_readme_has_the_older_endpoints():
    """The table of older endpoints has each stream that can read one, and its path."""
    found: dict[str, str] = {}
    for row in table_of("README.md", "stream", "instead"):
        names, paths = code(row["stream"]), code(row["instead"].partition(";")[0])
        base = paths[0].removesuffix("tags/")
        paths = [path.replace("…/", base) for path in paths]
        found |= dict(zip(names, paths * (len(names) // len(paths)), strict=True))
    # The code of this stream names it: it is a list of the organizations' own.
    assert found.pop("projects") == BY_NAME["organization_projects"].path

    assert found == {
        name: stream.fallback_path
        for name, stream in BY_NAME.items()
        if stream.fallback_path
    }


def test_the_page_says_how_far_runs_go_back():
    """The page has the periods that runs read again, and those that Sentry may keep."""
    text = page("docs/syncing.md")
    days = {
        name: WORDS[stream.refresh.days]
        for name, stream in BY_NAME.items()
        if getattr(stream, "refresh", None)
    }
    first, *others, last = [str(period.days) for period in PERIODS]

    assert days == {
        "monitor_checkins": "a",
        "organization_incidents": "seven",
        "release_commits": "seven",
        "repository_commits": "seven",
    }
    assert "a day for check-ins, seven days for incidents and commits" in text
    assert (
        f"reads from {first} days ago, or {', '.join(others)} or {last}: from the"
        in text
    )


def test_the_page_says_how_often_and_how_long():
    """The page about messages has the number of attempts, and the time to end."""
    text = page("docs/troubleshooting.md")

    assert f"is tried {WORDS[ATTEMPTS]} times, with growing" in text
    assert ATTEMPTS_IF_FOREIGN == 2
    assert "not from Sentry's API is requested once more" in text
    assert f"took nothing for {WORDS[int(GRACE_PERIOD)]} seconds" in text


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_name_on_a_page_exists(path):
    """What looks like the name of a stream is one, or a column or a setting."""
    text = path.read_text("utf-8")
    named = set(
        re.findall(r"`((?:organization|project|issue|team|release)_\w+)`", text)
    )
    columns = {
        name for stream in BY_NAME.values() for name in stream.schema["properties"]
    }

    assert named <= BY_NAME.keys() | columns | SETTINGS.to_dict()["properties"].keys()
