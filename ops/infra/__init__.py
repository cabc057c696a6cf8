"""Infrastructure: settings, logging, Redis, SQL, broker, DNS."""
