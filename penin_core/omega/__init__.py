"""The kernel: numbers in, numbers out, no I/O."""
