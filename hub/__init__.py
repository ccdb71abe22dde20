"""Glimpse: a self-hosted, real-time notification hub for email opens."""
