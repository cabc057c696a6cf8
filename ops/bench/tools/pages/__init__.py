"""Pages that benchmarks drive, and what their memory is."""
