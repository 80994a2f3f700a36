"""Training jobs: what they learn from, where they stand, and what comes of them."""
