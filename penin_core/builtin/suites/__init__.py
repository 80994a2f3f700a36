"""The suites that ship with penin, and the grammar that writes their tasks."""
