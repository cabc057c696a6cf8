"""The gallery's pages for people: server-rendered HTML that needs no script, and oEmbed."""
