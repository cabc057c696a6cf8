"""The gallery's pictures: kept with their derivatives, finished after uploads, derived again on request."""
