"""The suites that ship with penin, and the grammar that writes their tasks."""

from .grammar import generate_tasks

#: Name of a suite -> function that returns its rows.
SHIPPED = {"basic": generate_tasks}
