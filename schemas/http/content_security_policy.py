"""What every HTML page of Darkroom may do: the one Content-Security-Policy.

Sent by ``api`` to people and by ``workers.sites.driver.static_server`` to the worker's own browser.
"""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
