"""InvokeAI: its real web page from the package index on a server that answers its API as the real one does."""
