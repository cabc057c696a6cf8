"""Views for jobs."""
