"""What Darkroom is compared with: an empty Flask app, a stock Dramatiq worker, plain Playwright scripts."""
