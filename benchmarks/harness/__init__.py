"""What quality.py is made of: candidates, pair scores, fusion weights, tests, tables."""
