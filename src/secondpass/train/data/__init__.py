"""Training examples: files, sampling, augmentation."""
