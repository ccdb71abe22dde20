"""The way out: an event reaches every socket of its user."""
