"""The ledger: what was decided, in an order and in words that nobody can change unnoticed."""
