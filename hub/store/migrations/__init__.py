"""Migrations: the ways from one schema to the next, run by `store.migrate`."""
