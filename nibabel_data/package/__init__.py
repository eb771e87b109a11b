"""Data packages as things that are made, installed and proved intact.

One module a verb or a format: `manifest` (what a package holds, by hash), `verify` (whether it
still does), `install` and `archive` (how it gets onto the search path), and what they share.
"""
