"""The fields of a page's form: setting them, choosing from their lists, reading their values back."""
