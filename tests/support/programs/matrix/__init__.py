"""Pages on real versions of Gradio; these modules run in the environments of those versions, not in the project's."""
