"""Imitations of the programs for which recipes are shipped, served by one process (``serve``)."""
