"""Glimpse: a self-hosted, real-time notification hub for email opens."""

__version__ = "0.1.0"
