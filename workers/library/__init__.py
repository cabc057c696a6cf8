"""The hands of the model library: walks, reads, hashes, looks at pictures. Run by couriers and commands."""
