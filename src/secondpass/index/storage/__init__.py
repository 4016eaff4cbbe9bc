"""Indexes in object storage: versions, the writer's lease, local copies."""
