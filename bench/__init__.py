"""The instruments: what Glimpse holds on this machine, beside yardsticks measured in the same minutes."""
