"""Views for webhooks and their deliveries."""
