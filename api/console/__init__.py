"""The console: everything that the APIs do, as pages for people. ``docs/console.md`` is its page of design.

Pages are rendered from the stores; their scripts call the JSON APIs with the session's cookie.
"""
