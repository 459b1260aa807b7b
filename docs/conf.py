"""Sphinx: the pages of this folder, and the public names from their docstrings."""

project = "Augury"
author = "The Augury authors"
copyright = "2026, the Augury authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "Augury"
default_role = "code"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
nitpicky = False
