"""What is remembered: all SQL is here, and nothing else is."""
