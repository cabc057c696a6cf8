"""The ``darkroom sites`` commands that need a browser: check, try, login."""
