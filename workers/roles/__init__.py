"""The roles of the processes behind the queue. Each imports only what it needs, so that it starts soon."""
