"""Drafts of recipes for the page that answers at a URL: from its published layout, or from the page itself."""

from workers.sites.learn.detection import DetectedProgram
from workers.sites.learn.gradio_events import NoCandidateError, find_candidates
from workers.sites.learn.gradio_layout import read_layout
from workers.sites.learn.gradio_recipe import GradioRecipeWriter
from workers.sites.learn.recipe_draft import RecipeDraft
from workers.sites.learn.recipe_files import page_title


class DraftError(Exception):
    """No recipe can be written; the message says why."""


def learn_from_layout(program: DetectedProgram) -> list[RecipeDraft]:
    """Return the recipes that a Gradio app's layout allows, the most likely first.

    Raises:
        DraftError: no event of the app makes a picture from a text.
    """
    if program.config is None:
        raise DraftError("the page publishes no layout, because it is not made with Gradio; see docs/recipes.md.")
    layout = read_layout(program.config)
    try:
        candidates = find_candidates(layout)
    except NoCandidateError as error:
        raise DraftError(str(error)) from error
    title = page_title(program) or "A Gradio app"
    others = [f'"{candidate.trigger.label or candidate.prompt.label}"' for candidate in candidates]
    drafts = []
    for number, candidate in enumerate(candidates):
        rest = others[:number] + others[number + 1 :]
        doubts = [f"Other events of the app also make pictures from a text, at: {', '.join(rest)}."] if rest else []
        # The layout does not say whether an app works without a picture to begin with; a trial does.
        has_images = GradioRecipeWriter(layout, candidate).has_images
        for needs_images in (False, True) if has_images else (False,):
            draft = GradioRecipeWriter(layout, candidate).write(program.url, title, needs_images=needs_images)
            drafts.append(RecipeDraft(draft.recipe, draft.page, draft.summary, (*draft.doubts, *doubts)))
    return drafts
