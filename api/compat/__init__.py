"""The Weights and generaitiv APIs, for their existing clients."""
