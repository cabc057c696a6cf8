"""One generation on a page, from the submission of the prompt to the pictures."""
