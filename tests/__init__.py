"""The tests, a package so that they import `tests.helpers` in one way."""
