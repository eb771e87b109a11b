"""Data that other tools hold on this machine, found and listed read-only; none is imported.

An *adapter* is a function.  It takes the relpath that is asked for, or ``''`` for everything, and
yields each place where it looks (`Place`) with the packages that are there (`AdapterPackage`).
Those of TemplateFlow, nilearn, FSL, FreeSurfer, MNE and pooch are built in, one module for each;
other distributions name theirs by entry points of group ``nibabel_data.adapters``, where the name
of the entry point is the first part of the relpaths::

    [project.entry-points."nibabel_data.adapters"]
    labstore = "labstore:look"

The locator asks an adapter last, when no data package of that name is on the search path.
"""

from __future__ import annotations
