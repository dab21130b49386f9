"""Texts that are written from templates, in the folder ``templates`` of a package."""

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def environment(package: str) -> "Environment":
    """Where the templates of ``package`` are found: an undefined name is an error; only markup is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(package),
        undefined=StrictUndefined,
        autoescape=lambda name: name is not None and name.removesuffix(".j2").endswith((".html", ".svg", ".xml")),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(package: str, template: str, **values: Any) -> str:
    """The text of ``template`` of ``package`` with ``values`` filled in."""
    return environment(package).get_template(template).render(**values)
