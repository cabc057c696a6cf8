"""The Weights and generaitiv APIs."""
