"""The questions people ask: the REST API."""
