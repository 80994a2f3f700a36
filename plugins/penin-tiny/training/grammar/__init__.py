"""A seeded grammar of seven everyday tasks. It writes every sample afresh and invents everybody."""
