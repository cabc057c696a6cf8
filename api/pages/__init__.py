"""Pages for people (home, docs, studio), health, and the JavaScript client."""
