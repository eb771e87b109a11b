"""A local page with every data package on the search path: `CataloguePage`.

page = CataloguePage()
print(page.url)
"""

from __future__ import annotations

from ...lazy import attach as _attach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .session import CataloguePage as CataloguePage

_HOME = {"CataloguePage": "session"}

__all__ = [*_HOME]

__getattr__, __dir__ = _attach(__name__, _HOME)
