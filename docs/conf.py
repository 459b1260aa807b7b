"""Sphinx: the pages of this folder, and the public names from their docstrings."""

project = "Augury"
author = "The Augury authors"
copyright = "2026, the Augury authors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]
# The notebooks run on tiny settings whenever their pages are built, and an error in one fails the build.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_execution_raise_on_error = True
exclude_patterns = [
    "_build",
    "jupyter_execute",
    "**/.ipynb_checkpoints",
]  # the second holds the executed notebooks of the last build
html_theme = "furo"
html_title = "Augury"
default_role = "code"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
nitpicky = False


def setup(app):
    """A link to a file at the root of the repository, which is no page, offers that file for download."""

    def offer(app, docname, source):
        source[0] = source[0].replace("](../SECURITY.md)", "](path:../SECURITY.md)")

    app.connect("source-read", offer)
