"""`python -m secondpass` is the command line."""

from secondpass.cli import main

main()
