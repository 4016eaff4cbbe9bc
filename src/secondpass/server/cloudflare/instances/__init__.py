"""Instances and their namespaces: settings, rules, and the paths for them."""
