"""One way to reach a model: the wire, the money, the memory of answers, and local models."""
