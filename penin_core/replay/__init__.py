"""Deciding again: the gates and the verdict of a stored run, from nothing but what was stored."""
