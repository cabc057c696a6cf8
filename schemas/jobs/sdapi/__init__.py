"""Requests and answers of the API of AUTOMATIC1111's web UI (``/sdapi/v1``), without I/O."""
