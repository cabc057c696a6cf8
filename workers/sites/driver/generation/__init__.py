"""One generation on a page: what the page shows from the submission of the prompt to the pictures."""
