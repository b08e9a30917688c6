"""The cursor of the next page in Sentry's `Link` header."""

from __future__ import annotations

import pytest
import requests

from tap_sentry.api.pagination import counts_rows, is_in_time, link
from tap_sentry.sync.paginator import SentryPaginator

URL = "https://sentry.io/api/0/projects/acme/shop/events/?full=true&cursor="
#: GlitchTip prints a Python set: braces and quotes around the whole header.
GLITCHTIP = (
    "{'<https://app.glitchtip.com/api/0/organizations/acme/issues/?limit=50>; "
    'rel="previous"; results="false", '
    "<https://app.glitchtip.com/api/0/organizations/acme/issues/?limit=50&cursor="
    'cj0xJnA9MjAyNg%3D%3D>; rel="next"; results="true"; cursor="cj0xJnA9MjAyNg=="\'}'
)


def part(rel, results, cursor):
    return f'<{URL}{cursor}>; rel="{rel}"; results="{results}"; cursor="{cursor}"'


PREVIOUS = part("previous", "false", "0:0:1")


def page(header=None, body=b"[]"):
    response = requests.Response()
    response.status_code = 200
    response._content = body  # noqa: SLF001 - there is no other way to fill one
    if header is not None:
        response.headers["Link"] = header
    return response


def following(header):
    """Return the paginator's next cursor; None if it is finished."""
    paginator = SentryPaginator()
    paginator.advance(page(header))
    return None if paginator.finished else paginator.current_value


def test_the_first_page_needs_no_cursor():
    """The first page of a list is requested without a cursor."""
    assert SentryPaginator().current_value is None


@pytest.mark.parametrize(
    ("header", "cursor"),
    [
        (f"{PREVIOUS}, {part('next', 'true', '0:100:0')}", "0:100:0"),
        (f"{part('next', 'true', '0:100:0')}, {PREVIOUS}", "0:100:0"),
        (part("next", "true", "1790000000000:2:0"), "1790000000000:2:0"),
        (part("next", "true", "cj0xJnA9MjAyNg=="), "cj0xJnA9MjAyNg=="),
        (GLITCHTIP, "cj0xJnA9MjAyNg=="),
        (f"{PREVIOUS},{part('next', 'true', '0:1:0')}", "0:1:0"),
        ('<https://a/?x=1>;results="true";cursor="0:1:0";rel="next"', "0:1:0"),
        ('<https://a/?q="next">; rel="next"; results="true"; cursor="7:0:0"', "7:0:0"),
        ('<https://a/?q=a,b;c>; rel="next"; results="true"; cursor="8:0:0"', "8:0:0"),
    ],
)
def test_the_next_page_is_found_wherever_it_stands(header, cursor):
    """The next cursor is found whatever the order, spacing and URLs of the header."""
    assert cursor == following(header)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        PREVIOUS,
        part("previous", "true", "0:0:1"),
        f"{PREVIOUS}, {part('next', 'false', '0:100:0')}",
        f"{part('previous', 'true', '0:0:1')}, {part('next', 'false', '0:200:0')}",
        part("next", "True", "0:100:0"),
        part("next", "1", "0:100:0"),
        part("next", "", "0:100:0"),
        f'<{URL}0:100:0>; rel="next"; cursor="0:100:0"',
        part("last", "true", "0:900:0"),
        "garbage",
        '<https://a/>; rel="next',
        GLITCHTIP.replace('results="true"', 'results="false"'),
    ],
)
def test_only_results_true_of_the_next_link_says_that_there_is_more(header):
    """Sentry always sends a next link; only `results="true"` means that it has rows."""
    assert following(header) is None


def test_an_empty_page_is_not_the_end():
    """A page that a filter has emptied can be followed by pages with rows."""
    paginator = SentryPaginator()

    assert paginator.continue_if_empty(page(part("next", "true", "0:100:0")))
    assert not paginator.continue_if_empty(page(part("next", "false", "0:100:0")))


def test_the_parameters_of_a_link_are_read_by_name():
    """`link` returns the parameters of one link, or none if the link is absent."""
    response = page(f"{PREVIOUS}, {part('next', 'true', '0:100:0')}")

    assert link(response, "previous") == {
        "rel": "previous",
        "results": "false",
        "cursor": "0:0:1",
    }
    assert link(response, "next")["cursor"] == "0:100:0"
    assert link(response, "first") == {}


@pytest.mark.parametrize(
    ("cursor", "in_time", "in_rows"),
    [
        ("1790000000000:0:0", True, False),
        ("1790000000000:37:0", True, False),
        ("17900000000:0:0", True, False),
        # Ten digits are too few for milliseconds: they are seconds or a row count.
        ("1790000000:0:0", False, True),
        ("0:100:0", False, True),
        ("100:1:0", False, True),
        ("100:-1:1", False, True),
        ("1790000000000.0:0:0", False, False),
        ("cj0xJnA9MjAyNg==", False, False),
        ("eyJvIjogMn0=", False, False),
        ("", False, False),
        ("a:b:c", False, False),
        ("1790000000000:0", False, True),
    ],
)
def test_a_cursor_tells_what_it_counts(cursor, in_time, in_rows):
    """A cursor is recognized as an instant, as a row count or as neither."""
    assert in_time == is_in_time(cursor)
    assert in_rows == counts_rows(cursor)
