"""Views for sites, and live queries to them."""
