"""The HTTP and gRPC server: reranking, search and answers in the APIs of many providers."""
