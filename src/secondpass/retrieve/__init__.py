"""First stage: retrievers, document stores, and the ingestion that fills them."""
