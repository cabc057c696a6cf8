"""Pages for people: home, docs, studio, health, the JavaScript client."""
