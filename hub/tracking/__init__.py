"""The way in: from a request for a pixel to what it tells us."""
