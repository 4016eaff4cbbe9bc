"""One file for each dialect: how a body is read, and how an answer or a failure is written."""
