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
    from .callbacks import Action as Action
    from .client import set_static_content_source as set_static_content_source
    from .images import Picture as Picture
    from .images import open_image as open_image
    from .labels import LabelTable as LabelTable
    from .labels import label_table as label_table
    from .labels import read_labels as read_labels
    from .points import points_layer as points_layer
    from .points import read_points as read_points
    from .serving import allow as allow
    from .serving import set_server_bind_address as set_server_bind_address
    from .serving import stop as stop
    from .spaces import Space as Space
    from .spaces import panels as panels
    from .spaces import upright as upright
    from .state import ConflictError as ConflictError
    from .surfaces import Mesh as Mesh
    from .surfaces import read_mesh as read_mesh
    from .tracts import Skeleton as Skeleton
    from .tracts import read_tracts as read_tracts
    from .viewer import Viewer as Viewer
    from .volume import Volume as Volume
    from .writing import Written as Written
    from .writing import precompute as precompute

_HOME = {
    "Action": "callbacks",
    "ArraySource": "arrays",
    "ConflictError": "state",
    "LabelTable": "labels",
    "Mesh": "surfaces",
    "Picture": "images",
    "Skeleton": "tracts",
    "Space": "spaces",
    "Viewer": "viewer",
    "Volume": "volume",
    "Written": "writing",
    "allow": "serving",
    "label_table": "labels",
    "open_image": "images",
    "panels": "spaces",
    "points_layer": "points",
    "precompute": "writing",
    "read_labels": "labels",
    "read_mesh": "surfaces",
    "read_points": "points",
    "read_tracts": "tracts",
    "set_server_bind_address": "serving",
    "set_static_content_source": "client",
    "stop": "serving",
    "upright": "spaces",
    "wrap": "arrays",
}

__all__ = [*_HOME]

__getattr__, __dir__ = _attach(__name__, _HOME)
