"""`--about` as text: the SDK's, with defaults and descriptions of the settings."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from singer_sdk.about import AboutFormatter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.about import AboutInfo

#: Characters per line.
WIDTH = 88


#: The name of the format in `--format`.
EXPLAINED = "explained"


class ExplainedFormatter(AboutFormatter, format_name=EXPLAINED):
    """Adds to the SDK's text the default and the description of each setting."""

    def format_about(self, about_info: AboutInfo) -> str:
        """Return the whole text."""
        settings = about_info.settings
        required = settings.get("required", [])
        lines = [
            f"Name: {about_info.name}",
            f"Description: {about_info.description}",
            f"Version: {about_info.version}",
            f"SDK Version: {about_info.sdk_version}",
            "Supported Python Versions:",
            *(f"  - {name}" for name in about_info.supported_python_versions or ()),
            "Capabilities:",
            *(f"  - {capability}" for capability in about_info.capabilities),
            "Settings:",
        ]
        for name, schema in settings["properties"].items():
            variable = about_info.env_var_prefix + name.upper()
            lines += [
                f"  - Name: {name}",
                f"    Type: {type_of(schema)}",
                f"    Environment Variable: {variable}",
                *(["    Required: yes"] if name in required else []),
                *(["    Secret: yes"] if schema.get("secret") else []),
                *default_of(schema),
                *described(schema),
            ]
        return "\n".join(lines)


def type_of(schema: dict[str, Any]) -> str:
    """Return the type of a setting, without null."""
    kinds = [kind for kind in schema["type"] if kind != "null"]
    return " or ".join(kinds)


def default_of(schema: dict[str, Any]) -> Iterator[str]:
    """Yield the default as JSON, if there is one."""
    if schema.get("default") is not None:
        yield f"    Default: {json.dumps(schema['default'])}"


def described(schema: dict[str, Any]) -> list[str]:
    """Return the description of a setting, wrapped."""
    text = " ".join(schema.get("description", "").split())
    return textwrap.wrap(
        f"Description: {text}", WIDTH, initial_indent=4 * " ", subsequent_indent=6 * " "
    )
