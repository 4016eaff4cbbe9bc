"""Stand-ins for models, for tests of programs that use secondpass.

Everything here keeps the contract of what it stands in for, and needs no network.
"""
