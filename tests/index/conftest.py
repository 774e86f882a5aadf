"""A whole server, as in the tests of files."""

from tests.files.conftest import make_site, site

__all__ = ["make_site", "site"]
