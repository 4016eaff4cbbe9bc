"""What a server tells of itself while it runs: lines, counts, traces."""
