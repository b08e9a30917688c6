"""The token stays secret and is sent to one server only.

A hook in `conftest.py` scans the output of all other tests for the token.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import trustme
from singer_sdk.exceptions import ConfigValidationError

from tap_sentry.tap import TapSentry
from tests.conftest import NOW
from tests.sentry import TOKEN, Token, doors, simulator
from tests.soak import Faulty, quicken, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
#: A token, and the part of it that the tests search for.
SECRET = "sntryu_" + "5ec2e7" * 8
HALF = SECRET[:24]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten all delays, and unset the environment's proxies and bundles."""
    quicken(monkeypatch)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def sentry() -> Iterator[Faulty]:
    """Serve a small Sentry that accepts the secret token."""
    found = Faulty(tokens={SECRET: Token()})
    with found.served():
        yield found


@pytest.fixture
def other() -> Iterator[Faulty]:
    """Serve another Sentry, which must not receive any request."""
    found = Faulty()
    with found.served():
        yield found


# What is written ----------------------------------------------------------------------

#: Ways in which a run can end, each set up on a simulator.
ENDS: dict[str, Callable[[Faulty], None]] = {
    "well": lambda _: None,
    "refused token": lambda sentry: sentry.tokens.clear(),
    "missing scope": lambda sentry: sentry.tokens.update(
        {SECRET: Token(frozenset({"org:read"}))}
    ),
    "failures": lambda sentry: sentry.fault(500, times=None, after=9),
    "broken connections": lambda sentry: sentry.fault("reset", times=None, after=9),
    "damaged bodies": lambda sentry: sentry.fault("truncated", times=None, after=9),
    "limits": lambda sentry: sentry.fault(429, times=30),
    "redirect": lambda sentry: sentry.fault(
        302, times=None, after=5, location=f"https://elsewhere.example.com/?t={SECRET}"
    ),
    # Some proxies repeat what they were sent.
    "echo": lambda sentry: sentry.fault(
        500, times=None, after=9, body={"detail": f"no route; Bearer {SECRET}"}
    ),
    "echo in a type": lambda sentry: sentry.fault(
        200, times=None, after=9, html="?", headers={"Content-Type": f"a/{SECRET}"}
    ),
    "echo in a replacement": lambda sentry: sentry.fault(
        410, times=30, after=9, replacement=f"/{SECRET}"
    ),
    "echo in a host": lambda sentry: sentry.fault(
        302, times=None, after=9, location=f"https://{SECRET}.example.com/"
    ),
    "echo in a user": lambda sentry: sentry.fault(
        302, times=None, after=9, location=f"https://{SECRET}@example.com/"
    ),
    "echo in an address": lambda sentry: sentry.fault(
        302, times=None, after=9, location=f"/api/0/{SECRET}/"
    ),
    "echo in a line": lambda sentry: sentry.fault(
        404, times=None, after=9, headers={"A": f"b\r\nAuthorization Bearer {SECRET}"}
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_token_is_nowhere_in_the_log_or_the_output(sentry, caplog, end):
    """The token is never logged or written, even at DEBUG or if a server repeats it."""
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "tap-sentry"):
        caplog.set_level(logging.DEBUG, logger=name)
    ENDS[end](sentry)

    run = sync(sentry, auth_token=SECRET)

    assert "urllib3.connectionpool" in {record.name for record in caplog.records}
    assert "tap-sentry" in {record.name for record in caplog.records}
    assert HALF not in caplog.text
    assert HALF not in "".join(
        str(value) for record in caplog.records for value in vars(record).values()
    )
    assert HALF not in json.dumps(run.messages)
    assert any(SECRET in seen.authorization for seen in sentry.requests)


#: Runs the command with a defect in it.
DEFECT = """
import sys
from tap_sentry.api import pagination
from tap_sentry.cli.command import TapCommand
def link(response, rel):
    raise ZeroDivisionError(response.request.url)
pagination.link = link
TapCommand.cli()
"""


@pytest.mark.parametrize("code", [None, DEFECT], ids=["well", "with a defect"])
def test_the_command_shows_the_token_nowhere(sentry, tmp_path, code):
    """The token is in no DEBUG line, in no traceback and not in the process list."""
    settings = tmp_path / "config.json"
    chosen = {"auth_token": SECRET, "api_url": sentry.url, "start_date": "2d"}
    settings.write_text(json.dumps(chosen))
    start = ["-m", "tap_sentry"] if code is None else ["-c", code]
    sentry.latency = 0.05
    debug = {"LOGLEVEL": "DEBUG", "TAP_SENTRY_LOGLEVEL": "DEBUG"}

    with subprocess.Popen(  # noqa: S603 - our own
        [sys.executable, *start, "--config", str(settings)],
        cwd=ROOT,
        env=os.environ | debug,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        titles = (Path("/proc") / str(process.pid) / "cmdline").read_text()
        out, err = process.communicate(timeout=60)

    assert process.returncode == (0 if code is None else 1)
    assert "DEBUG" in err or '"level"' in err
    assert ("Traceback" in err) == (code is not None)
    assert ("A bug in tap-sentry (ZeroDivisionError" in err) == (code is not None)
    assert HALF not in out + err + titles
    assert sentry.requests


def test_wrong_settings_do_not_show_the_token(caplog):
    """Errors about invalid settings, even about the token itself, do not show it."""
    caplog.set_level(logging.DEBUG)
    for token in (SECRET + "\n\x00", [SECRET], {"value": SECRET}):
        with pytest.raises(Exception, match=r"\S") as caught:
            TapSentry(config={"auth_token": token, "concurrency": 0, "strict": 1})

        assert HALF not in str(caught.value)
        assert HALF not in repr(caught.value)
        assert HALF not in str(getattr(caught.value, "errors", ""))
    assert HALF not in caplog.text


def test_what_stands_for_the_token_does_not_show_it(sentry):
    """The objects of a run do not show the token when they are printed."""
    tap = TapSentry(config={"auth_token": SECRET, "api_url": sentry.url})

    assert HALF not in repr(tap.run.settings)
    assert HALF not in repr(tap.run.client.authenticator)
    assert HALF not in repr(tap.run.client.session.headers)


# Where it is sent ---------------------------------------------------------------------


def test_links_to_another_server_are_not_followed(sentry, other):
    """Only the cursor of a link is used, so a link to another host has no effect."""
    sentry.order = None
    expected = sync(sentry, auth_token=SECRET)
    sentry.link_base = other.url

    run = sync(sentry, auth_token=SECRET)

    assert run.without_state() == expected.without_state()
    assert not other.requests


@pytest.mark.parametrize("after", [0, 3, 12])
@pytest.mark.parametrize(
    "location",
    [
        "{other}/api/0/organizations/",
        "//{other_host}/api/0/organizations/",
        "https://{host}/api/0/organizations/",
        "http://{host}@{other_host}/api/0/organizations/",
        "http://localhost:{port}/api/0/organizations/",
        r"http:\\{other_host}/",
        "http://",
        "//",
        "ftp://{host}/",
        "http://[::1",
        "http://{host}:99999999/",
    ],
)
def test_redirects_to_another_server_are_not_followed(sentry, other, location, after):
    """Redirects to another host, port or scheme are not followed."""
    parts = urlsplit(sentry.url)
    where = location.format(
        other=other.url,
        other_host=urlsplit(other.url).netloc,
        host=parts.netloc,
        port=parts.port,
    )
    sentry.fault(302, times=None, after=after, location=where)

    run = sync(sentry, "project_events", auth_token=SECRET, concurrency=1)

    assert run.code == 1 or run.skipped
    assert not other.requests
    hosts = {seen.host for seen in sentry.requests}
    assert hosts == {parts.netloc}


def test_a_redirect_that_leads_away_by_a_detour_is_not_followed(sentry, other):
    """A second redirect that leads out of the server is not followed."""
    sentry.fault(302, times=1, location="/api/0/projects/")
    sentry.fault(
        302,
        times=None,
        when=lambda seen: seen.path == "projects/",
        location=f"{other.url}/api/0/organizations/",
    )

    run = sync(sentry, "organizations", auth_token=SECRET)

    assert run.code == 1
    assert [seen.path for seen in sentry.requests] == ["organizations/", "projects/"]
    assert not other.requests


def test_every_request_has_the_token_and_no_cookie_or_netrc(
    sentry, tmp_path, monkeypatch
):
    """Every request, redirected or not, has the token and no `.netrc` credentials."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    sentry.fault(302, times=3)

    run = sync(sentry, "project_events", auth_token=SECRET)

    assert run.code == 0
    assert {seen.authorization for seen in sentry.requests} == {f"Bearer {SECRET}"}


@pytest.mark.parametrize(
    ("url", "is_told"),
    [
        ("http://sentry.example.com", True),
        ("http://10.0.0.7:9000/sentry", True),
        pytest.param("http://127.evil.example.com", True),
        ("http://localhost.example.com", True),
        ("https://sentry.example.com", False),
        ("http://localhost:9000", False),
        ("http://127.0.0.1:9000", False),
        ("http://[::1]:9000", False),
    ],
)
def test_plain_http_is_warned_of(caplog, url, is_told):
    """Plain HTTP logs a warning unless the server is on this machine."""
    TapSentry(config={"auth_token": SECRET, "api_url": url})

    warned = [record for record in caplog.records if record.levelname == "WARNING"]
    assert ["plain http" in record.getMessage() for record in warned] == (
        [True] if is_told else []
    )
    assert HALF not in caplog.text


# Certificates -------------------------------------------------------------------------


class Tls:
    """A private certificate authority and the TLS contexts of its servers."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.bundle = str(folder / "authority.pem")
        self.authority.cert_pem.write_to_path(self.bundle)
        self.context = self.for_host("localhost")

    def for_host(self, *names: str, **options: Any) -> ssl.SSLContext:
        """Return the context of a server with a certificate for these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*names, **options).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """Create one authority for all tests."""
    return Tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(sentry_of: Callable[[ssl.SSLContext], Faulty], tls: Tls) -> Faulty:
    """Serve a Sentry with HTTPS on localhost."""
    return sentry_of(tls.context)


@pytest.fixture
def sentry_of(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[ssl.SSLContext], Faulty]]:
    """Serve a Sentry with a given TLS context."""
    open_doors = []

    def serve(context: ssl.SSLContext) -> Faulty:
        class TlsServer(doors.Server):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args)
                self.socket = context.wrap_socket(self.socket, server_side=True)

        monkeypatch.setattr(simulator, "Server", TlsServer)
        found = Faulty(tokens={SECRET: Token()})
        door = found.served()
        door.__enter__()
        open_doors.append(door)
        found.url = f"https://localhost:{urlsplit(found.url).port}"
        return found

    yield serve
    for door in open_doors:
        door.__exit__(None, None, None)


def test_a_certificate_that_is_not_trusted_ends_the_run_in_a_line(secure, caplog):
    """An untrusted certificate ends the run at once; one line names `ca_bundle`."""
    run = sync(secure, auth_token=SECRET)

    assert (run.code, run.rows()) == (1, {})
    (line,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert "/api/0/organizations/: the certificate of the server is not trusted" in line
    assert "set ca_bundle" in line
    assert not secure.requests
    assert "; try " not in caplog.text


def test_ca_bundle_is_trusted(secure, tls):
    """A certificate of an authority in `ca_bundle` is trusted."""
    run = sync(secure, "organizations", auth_token=SECRET, ca_bundle=tls.bundle)

    assert run.is_complete
    assert len(run.rows()) == 3


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environment_names_a_bundle_too(secure, tls, monkeypatch, name):
    """The bundle may also be named by the environment variables of `requests`."""
    monkeypatch.setenv(name, tls.bundle)

    run = sync(secure, "organizations", auth_token=SECRET)

    assert run.is_complete
    assert len(run.rows()) == 3


def test_ca_bundle_goes_before_the_environment(secure, tls, tmp_path, monkeypatch):
    """`ca_bundle` takes precedence over a bundle in the environment."""
    wrong = tmp_path / "wrong.pem"
    trustme.CA().cert_pem.write_to_path(str(wrong))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(wrong))

    assert sync(secure, "organizations", auth_token=SECRET).code == 1
    assert not secure.requests
    run = sync(secure, "organizations", auth_token=SECRET, ca_bundle=tls.bundle)
    assert run.is_complete


def test_a_certificate_of_another_host_is_refused(sentry_of, tls, caplog):
    """A certificate for another host is rejected even if its authority is trusted."""
    sentry = sentry_of(tls.for_host("sentry.example.com"))

    run = sync(sentry, auth_token=SECRET, ca_bundle=tls.bundle)

    assert run.code == 1
    assert not sentry.requests
    assert "the certificate of the server is not trusted" in caplog.text


def test_a_certificate_that_has_expired_is_refused(sentry_of, tls, caplog):
    """An expired certificate is rejected even if its authority is trusted."""
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    sentry = sentry_of(tls.for_host("localhost", not_after=past))

    run = sync(sentry, auth_token=SECRET, ca_bundle=tls.bundle)

    assert run.code == 1
    assert not sentry.requests
    assert "the certificate of the server is not trusted" in caplog.text


def test_a_bundle_that_is_not_there_is_told(secure, monkeypatch, caplog):
    """A missing bundle is reported as a config error, not as a bug in the tap."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nothing/here.pem")
    with pytest.raises(ConfigValidationError) as caught:
        sync(secure, auth_token=SECRET)

    assert caught.value.errors == [
        "REQUESTS_CA_BUNDLE: there is no file /nothing/here.pem"
    ]
    assert "A bug in" not in caplog.text


def test_a_bundle_that_is_none_is_told(secure, tmp_path, caplog):
    """A bundle without certificates is reported in one line."""
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificates\n")

    run = sync(secure, auth_token=SECRET, ca_bundle=str(empty))

    assert run.code == 1
    lines = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(lines) == 1
    assert "ca_bundle" in lines[0]


def test_https_that_turns_to_http_is_not_followed(secure, tls, sentry):
    """A redirect from HTTPS to HTTP, which would expose the token, is not followed."""
    secure.fault(302, times=None, location=f"{sentry.url}/api/0/organizations/")

    run = sync(secure, auth_token=SECRET, ca_bundle=tls.bundle)

    assert run.code == 1
    assert not sentry.requests


def test_the_tokens_of_these_tests_are_not_the_same():
    """The secret differs from the simulator's token, which the hook searches for."""
    assert HALF not in TOKEN
    assert NOW.tzinfo
