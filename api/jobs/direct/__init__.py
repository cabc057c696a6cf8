"""Direct answers: responses to the most frequent requests about jobs without Flask, the same as those of Flask."""
