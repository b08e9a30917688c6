"""Find names of settings, variables and streams that do not exist."""

from __future__ import annotations

import difflib
import fnmatch
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: Variables of the environment that the SDK reads beside the settings.
_LOGGING = ("LOGLEVEL",)


def unknown_settings(config: Mapping[str, Any], known: Iterable[str]) -> Iterator[str]:
    """Yield a line for each setting that the tap does not have."""
    known = list(known)
    for name in config:
        if name not in known:
            message = f"unknown setting {name}"
            yield _hinted(message, suggestion(name, known))


def unknown_variables(
    environment: Iterable[str], prefix: str, known: Iterable[str]
) -> Iterator[str]:
    """Yield a line for each environment variable that is no setting of the tap.

    Variables with two underscores after the prefix are Meltano's own.
    """
    start = f"{prefix}_".upper().replace("-", "_")
    settings = [name.upper() for name in known]
    for variable in environment:
        name = variable.removeprefix(start)
        is_ours = name != variable and not name.startswith("_")
        if is_ours and name not in {*settings, *_LOGGING}:
            hint = suggestion(name, settings).replace("mean ", f"mean {start}")
            message = f"unknown variable {variable}"
            yield _hinted(message, hint)


def unknown_streams(unknown: Iterable[str], streams: Iterable[str]) -> Iterator[str]:
    """Yield a line for each stream of a catalog that is not one of `streams`."""
    streams = list(streams)
    for name in unknown:
        message = f"catalog: there is no stream {name}"
        yield _hinted(message, suggestion(name, streams))


def unknown_maps(
    stream_maps: Mapping[str, Any], streams: Iterable[str]
) -> Iterator[str]:
    """Yield a line for each key of `stream_maps` that fits no stream."""
    streams = list(streams)
    for key, definition in stream_maps.items():
        source = key
        if isinstance(definition, dict):
            source = str(definition.get("__source__", key))
        if not fnmatch.filter(streams, source):
            message = f"stream_maps: there is no stream {source}"
            yield _hinted(message, suggestion(source, streams))


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a question about the nearest known name; empty if none is near."""
    by_key = {candidate.lower(): candidate for candidate in known}
    nearest = difflib.get_close_matches(name.lower(), by_key, n=1)
    return f"do you mean {by_key[nearest[0]]}?" if nearest else ""


def _hinted(message: str, hint: str) -> str:
    return f"{message}: {hint}" if hint else message
