"""Infrastructure: settings, logging, Redis, SQL, message broker, DNS, file writes."""
