"""The plumbing (settings, clock, logging, connections) and the switches (command line, supervisor, benches)."""
