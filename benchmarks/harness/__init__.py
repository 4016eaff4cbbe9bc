"""The harness of quality.py: candidates, pair scores, fusion weights, targets, tables."""
