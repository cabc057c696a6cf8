"""The hands of the model library: what is done to its files and pictures, away from whoever asks."""
