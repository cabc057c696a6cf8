"""Takes the original bytes of pictures from a page: from what it shows, has loaded, or downloads."""
