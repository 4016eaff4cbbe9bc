"""Cross-encoders: models that read query and document together."""

from secondpass.rerank.cross_encoder.model import CrossEncoder

__all__ = ["CrossEncoder"]
