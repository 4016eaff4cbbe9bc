"""The index: both passes over one folder of documents."""
