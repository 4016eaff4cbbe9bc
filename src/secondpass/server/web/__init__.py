"""The page that shows rankings: its built files, and the routes that serve them."""
