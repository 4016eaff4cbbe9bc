"""The training loop, its settings, loss, validation and checkpoints."""
