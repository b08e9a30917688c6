"""Child streams of any list, here of the releases of an organization."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

import pytest
import responses
from singer_sdk import typing as th

from tap_sentry.records import bodies
from tap_sentry.streams import STREAMS
from tap_sentry.streams.base import SentryStream
from tap_sentry.streams.organizations import Organizations
from tap_sentry.streams.parents import ParentStream
from tests.conftest import run
from tests.sentry import TOKEN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

API = "https://sentry.io/api/0/organizations"
LAST = {"Link": '<https://sentry.io/>; rel="next"; results="false"; cursor="0:100:0"'}


class Releases(ParentStream):
    """A release, identified by its version."""

    name = "releases"
    path = "/organizations/{organization}/releases/"
    parent_stream_type = Organizations
    primary_keys = ("organization_id", "version")
    id_column = "version"
    kind = "release"
    key_column = "version"
    rows_field = "data"
    schema = th.PropertiesList(
        th.Property("organization_id", th.StringType, required=True),
        th.Property("version", th.StringType, required=True),
        th.Property("deployCount", th.IntegerType),
    ).to_dict()


class Deploys(SentryStream):
    """A deploy of a release."""

    name = "deploys"
    path = "/organizations/{organization}/releases/{release}/deploys/"
    parent_stream_type = Releases
    primary_keys = ("organization_id", "release_version", "id")
    schema = th.PropertiesList(
        th.Property("organization_id", th.StringType, required=True),
        th.Property("release_version", th.StringType, required=True),
        th.Property("id", th.StringType, required=True),
    ).to_dict()

    def visits(self, row, context):
        """Return whether a release was deployed; others have no deploys."""
        del context
        return bool(bodies.decode_value(row["deployCount"]))


class Ownership(SentryStream):
    """A single object for each organization."""

    name = "ownership"
    path = "/organizations/{organization}/ownership/"
    parent_stream_type = Organizations
    primary_keys = ("organization_id",)
    id_column = "raw"
    is_object = True
    is_paged = False
    page_size_name = None
    schema = th.PropertiesList(
        th.Property("organization_id", th.StringType, required=True),
        th.Property("raw", th.StringType),
    ).to_dict()


class Server:
    """Two organizations with releases; records what is requested."""

    releases: ClassVar[Mapping[str, Mapping[str, int]]] = {
        "one": {"web@1.0 #1?": 2, "empty": 0, "api@2": 1},
        "two": {"api@2": 1},
    }

    def __init__(self) -> None:
        self.requested: list[str] = []

    def serve(self, mock: responses.RequestsMock) -> None:
        rows = [{"id": str(i), "slug": slug} for i, slug in enumerate(self.releases, 1)]
        mock.get(f"{API}/", json=rows, headers=LAST)
        for slug, releases in self.releases.items():
            listed = [{"version": v, "deployCount": n} for v, n in releases.items()]
            mock.get(f"{API}/{slug}/releases/", json={"data": listed}, headers=LAST)
            mock.get(f"{API}/{slug}/ownership/", json={"raw": f"*.py {slug}"})
            for number, version in enumerate(releases):
                quoted = quote(version, safe="")
                deploys = [{"id": f"{slug}{number}{i}"} for i in range(2)]
                mock.add_callback(
                    "GET",
                    f"{API}/{slug}/releases/{quoted}/deploys/",
                    functools.partial(self.answer, deploys),
                )

    def answer(self, deploys: list[dict[str, str]], request: Any) -> Any:
        self.requested.append(request.url.removeprefix(API).partition("?")[0])
        return 200, LAST, json.dumps(deploys)


@pytest.fixture
def server(monkeypatch):
    """Serve a Sentry to a tap with organizations and the three streams above."""
    monkeypatch.setattr(
        "tap_sentry.tap.STREAMS",
        (*(s for s in STREAMS if s is Organizations), Releases, Deploys, Ownership),
    )
    found = Server()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        found.serve(mock)
        yield found


def read(**settings):
    """Run the tap and return its output."""
    output = run({"auth_token": TOKEN, **settings})
    assert output.code == 0
    return output


@pytest.mark.usefixtures("server")
def test_rows_of_a_wrapped_list_have_children():
    """Each deploy has the version of its release."""
    output = read()

    assert [row["version"] for row in output.records("releases")] == [
        "web@1.0 #1?",
        "empty",
        "api@2",
        "api@2",
    ]
    assert output.keys("deploys") == [
        ("1", "web@1.0 #1?", "one00"),
        ("1", "web@1.0 #1?", "one01"),
        ("1", "api@2", "one20"),
        ("1", "api@2", "one21"),
        ("2", "api@2", "two00"),
        ("2", "api@2", "two01"),
    ]


def test_children_are_requested_where_the_row_says_so(server):
    """The path quotes the version; a release without deploys costs no request."""
    read(concurrency=1)

    assert server.requested == [
        "/one/releases/web%401.0%20%231%3F/deploys/",
        "/one/releases/api%402/deploys/",
        "/two/releases/api%402/deploys/",
    ]


@pytest.mark.usefixtures("server")
def test_children_are_prefetched_and_their_order_stays():
    """Concurrency changes neither the records nor their order."""
    fast, slow = read(concurrency=8), read(concurrency=1)

    for stream in ("releases", "deploys"):
        assert fast.records(stream) == slow.records(stream)


@pytest.mark.usefixtures("server")
def test_a_single_object_is_a_row():
    """An endpoint that returns one object gives one row for each organization."""
    rows = read().records("ownership")

    assert [(row["organization_id"], row["raw"]) for row in rows] == [
        ("1", "*.py one"),
        ("2", "*.py two"),
    ]


@pytest.mark.parametrize("body", [b'{"rows": []}', b'{"data": {}}', b"3"])
def test_a_wrapped_list_of_another_shape_is_not_understood(body):
    """A body without a list in the expected field is an error."""
    with pytest.raises(bodies.UnexpectedShapeError):
        bodies.decode_rows(body, "data")


def test_a_wrapped_list_is_decoded():
    """Rows are decoded from their field, whatever other fields the body has."""
    rows = bodies.decode_rows(b'{"x": [1], "data": [{"a": 1}, {"a": 2}]}', "data")

    assert [bodies.decode_value(row["a"]) for row in rows] == [1, 2]


def test_a_list_that_is_not_wrapped_is_decoded():
    """Sentry 9.1.2 sends the bare list where newer servers wrap it in an object."""
    rows = bodies.decode_rows(b' [{"a": 1}]', "data")

    assert [bodies.decode_value(row["a"]) for row in rows] == [1]
