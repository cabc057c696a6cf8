"""HTTP rules: address policy, request origin, CSP, content disposition, conditional requests."""
