"""The fields of a page's form: setting them, choosing from their lists, reading back what the page took."""
