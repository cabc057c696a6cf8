"""Recipes, one TOML file a site, and the driver that runs any of them."""
