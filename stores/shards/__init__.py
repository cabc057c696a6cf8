"""Several Redis servers as one: each is a whole queue of its own, and a caller's hash names the caller's server.

The stores of one server know nothing of the others. The classes of this package stand in their place: they find the
server of a caller or of a job, and put together what concerns all callers. A server that is down is left out wherever
its part can be missing, and is waited for only by those whose jobs it has.
"""
