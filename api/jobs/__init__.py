"""Views for jobs: submission, status, images, event streams, WebSockets."""
