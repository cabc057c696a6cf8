"""Views for sites and live site queries."""
