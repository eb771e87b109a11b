"""The command ``nibabel-data``: `main` joins the verbs, one module for each group of them."""
