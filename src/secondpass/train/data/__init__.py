"""Training data: examples, augmentation, sampling, teacher scores."""
