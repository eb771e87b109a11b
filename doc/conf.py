"""Configuration of Sphinx."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import shellblocks

import nibabel_data

project = "nibabel-data"
author = "The nibabel-data developers"
project_copyright = author
version = release = nibabel_data.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "numpydoc",
    "screenshots",
    "shellblocks",
]
exclude_patterns = ["_build"]
default_role = "py:obj"
highlight_language = "none"

autodoc_member_order = "bysource"
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

doctest_global_setup = shellblocks.SETUP
doctest_global_cleanup = shellblocks.CLEANUP
doctest_default_flags = (
    doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.DONT_ACCEPT_TRUE_FOR_1
)
doctest_show_successes = False

html_theme = "alabaster"
html_title = f"nibabel-data {release}"
html_theme_options = {
    "description": "Finds, checks and shows the data that neuroscience code needs",
    "page_width": "1080px",
    "sidebar_width": "230px",
    "show_powered_by": False,
}
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html"]}
html_copy_source = False
