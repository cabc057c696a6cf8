"""OpenAI's Images API, below ``/v1/images`` and ``/v1/models``, for clients that speak it already."""
