"""Driving of site pages by recipes: driver, observer, policy, diagnostics, and the commands that use them."""
