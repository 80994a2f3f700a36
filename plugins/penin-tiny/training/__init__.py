"""How the embedded model is made and measured. Needs PyTorch, which the plugin does not."""
