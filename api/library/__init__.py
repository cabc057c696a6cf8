"""The model library over HTTP: models, their images and files, scans and the report."""
