"""Look at arrays and at images of a data package in Neuroglancer, in the browser.

    viewer = nibabel_data.viewer.Viewer()
    viewer.add('T1.nii.gz')
    print(viewer)

Importing this package imports nothing else; each name is loaded when it is first used, and NumPy
with the first of those that needs it.
"""

from __future__ import annotations

from ..lazy import attach as _attach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .arrays import ArraySource as ArraySource
    from .arrays import wrap as wrap
    from .client import set_static_content_source as set_static_content_source
    from .images import Picture as Picture
    from .images import open_image as open_image
    from .labels import LabelTable as LabelTable
    from .labels import label_table as label_table
    from .labels import read_labels as read_labels
    from .serving import allow as allow
    from .serving import set_server_bind_address as set_server_bind_address
    from .serving import stop as stop
    from .spaces import Space as Space
    from .spaces import panels as panels
    from .spaces import upright as upright
    from .state import ConflictError as ConflictError
    from .surfaces import Mesh as Mesh
    from .surfaces import Skeleton as Skeleton
    from .surfaces import points_layer as points_layer
    from .surfaces import read_mesh as read_mesh
    from .surfaces import read_points as read_points
    from .surfaces import read_tracts as read_tracts
    from .viewer import Action as Action
    from .viewer import Viewer as Viewer
    from .volume import Volume as Volume

_HOME = {
    "Action": "viewer",
    "ArraySource": "arrays",
    "ConflictError": "state",
    "LabelTable": "labels",
    "Mesh": "surfaces",
    "Picture": "images",
    "Skeleton": "surfaces",
    "Space": "spaces",
    "Viewer": "viewer",
    "Volume": "volume",
    "allow": "serving",
    "label_table": "labels",
    "open_image": "images",
    "panels": "spaces",
    "points_layer": "surfaces",
    "read_labels": "labels",
    "read_mesh": "surfaces",
    "read_points": "surfaces",
    "read_tracts": "surfaces",
    "set_server_bind_address": "serving",
    "set_static_content_source": "client",
    "stop": "serving",
    "upright": "spaces",
    "wrap": "arrays",
}

__all__ = [*_HOME]

__getattr__, __dir__ = _attach(__name__, _HOME)
