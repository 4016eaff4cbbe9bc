"""Who may ask, how often, how slowly, and from where."""
