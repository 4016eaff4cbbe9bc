"""The second pass: rerankers, one file a backend, behind one base class."""
