"""Write the columns of a stream, each in a line: type, name and description.

Columns keep Sentry's own spelling; those that the tap adds are snake_case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk import typing as th

if TYPE_CHECKING:
    from singer_sdk.typing import JSONTypeHelper

#: An object whose fields Sentry does not promise. Without the key `properties`, which
#: `ObjectType` would write, flattening keeps it as one column of JSON.
ANY_OBJECT = th.CustomType({"type": ["object", "null"], "additionalProperties": True})
ANY_OBJECTS = th.ArrayType(ANY_OBJECT)
STRINGS = th.ArrayType(th.CustomType({"type": ["string", "null"]}))


def key(name: str, description: str) -> th.Property[Any]:
    """Return a column of text that is part of the primary key."""
    return th.Property(name, th.StringType, required=True, description=description)


def key_integer(name: str, description: str) -> th.Property[Any]:
    """Return a column of a whole number that is part of the primary key."""
    return th.Property(name, th.IntegerType, required=True, description=description)


def key_date(name: str, description: str) -> th.Property[Any]:
    """Return a column of a date that is part of the primary key."""
    return th.Property(name, th.DateTimeType, required=True, description=description)


def _column(kind: JSONTypeHelper[Any], name: str, description: str) -> th.Property[Any]:
    return th.Property(name, kind, description=description)


def text(name: str, description: str) -> th.Property[Any]:
    """Return a column of text."""
    return _column(th.StringType(), name, description)


def texts(name: str, description: str) -> th.Property[Any]:
    """Return a column with a list of texts."""
    return _column(STRINGS, name, description)


def date(name: str, description: str) -> th.Property[Any]:
    """Return a column of a date and time."""
    return _column(th.DateTimeType(), name, description)


def integer(name: str, description: str) -> th.Property[Any]:
    """Return a column of a whole number."""
    return _column(th.IntegerType(), name, description)


def number(name: str, description: str) -> th.Property[Any]:
    """Return a column of a number."""
    return _column(th.NumberType(), name, description)


def boolean(name: str, description: str) -> th.Property[Any]:
    """Return a column of true or false."""
    return _column(th.BooleanType(), name, description)


def json(name: str, description: str) -> th.Property[Any]:
    """Return a column of an object whose fields Sentry does not promise."""
    return _column(ANY_OBJECT, name, description)


def jsons(name: str, description: str) -> th.Property[Any]:
    """Return a column with a list of such objects."""
    return _column(ANY_OBJECTS, name, description)


def fields(name: str, description: str, *columns: th.Property[Any]) -> th.Property[Any]:
    """Return a column of an object with these fields, and any others that are sent."""
    return _column(th.ObjectType(*columns), name, description)


#: A user. Sentry sends whole accounts; their other fields are left out.
PERSON = th.ObjectType(
    text("id", "Id of the user; null for people without an account."),
    text("name", "Name of the user."),
    text("username", "Name to log in with, often the email address."),
    text("email", "Email address of the user."),
    additional_properties=False,
)
#: A user or a team.
OWNER = th.ObjectType(
    text("type", "`user` or `team`."),
    text("id", "Id of the user or team."),
    text("name", "Name of the user or team."),
    text("email", "Email address of the user; null for a team."),
    additional_properties=False,
)


def person(name: str, description: str) -> th.Property[Any]:
    """Return a column of a user."""
    return _column(PERSON, name, description)


def people(name: str, description: str) -> th.Property[Any]:
    """Return a column with a list of users."""
    return _column(th.ArrayType(PERSON), name, description)


def owner(name: str, description: str) -> th.Property[Any]:
    """Return a column of a user or a team."""
    return _column(OWNER, name, description)


def schema_of(*columns: th.Property[Any]) -> dict[str, Any]:
    """Return the JSON schema of a stream with these columns."""
    return th.PropertiesList(*columns).to_dict()


ORGANIZATION_ID = key("organization_id", "Id of the organization.")
#: In streams where the project is part of the key, and where it is not.
PROJECT_KEY = key("project_id", "Id of the project.")
PROJECT_ID = text("project_id", "Id of the project.")
TEAM_KEY = key("team_id", "Id of the team.")
