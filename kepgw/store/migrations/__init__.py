"""Migrations of the store, one a file."""
