"""Serving: the champion answers live traffic, and a promotion takes effect at once."""
