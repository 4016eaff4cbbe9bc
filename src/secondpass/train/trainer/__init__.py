"""The training loop, its settings, loss and checkpoints."""
