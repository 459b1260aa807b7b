"""Data and readers that several test files use."""
