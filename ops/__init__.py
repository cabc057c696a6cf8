"""Infrastructure, process supervision, the Python client, the command line, benchmarks and fault injection."""
