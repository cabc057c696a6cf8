"""Pictures that background processes examine and keep for the gallery, and uploads of them."""
