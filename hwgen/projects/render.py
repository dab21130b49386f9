"""Templates of this folder as text."""

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def _environment() -> "Environment":
    """An undefined name is an error; markup is escaped in XML alone."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("hwgen.projects"),
        undefined=StrictUndefined,
        autoescape=lambda name: name is not None and ".xml" in name,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: str, **values: Any) -> str:
    """The text of ``template`` with ``values`` filled in."""
    return _environment().get_template(template).render(**values)
