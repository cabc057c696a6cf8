// Returns the visible options of the list that belongs to a field.
// Evaluated in the page by workers/sites/driver/forms/options.py: the field, and the options that were visible before
// its list was opened (null: all options count).
([field, before]) => {
  const MAX_OPTIONS = 2000;
  // The last is for Gradio 3, whose lists have no roles.
  const OPTIONS = ["[role=option]", "[role=listbox] li", "[data-testid=dropdown-option]"];
  const isVisible = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getClientRects().length > 0;
  const optionsIn = (root, isNew) => {
    for (const selector of OPTIONS) {
      const found = [...root.querySelectorAll(selector)].filter((option) => isVisible(option) && isNew(option));
      if (found.length) return found.slice(0, MAX_OPTIONS);
    }
    return [];
  };
  const id = field.getAttribute("aria-controls") || field.getAttribute("aria-owns");
  const own = id && field.getRootNode().getElementById && field.getRootNode().getElementById(id);
  const ownOptions = own ? optionsIn(own, () => true) : [];
  if (own && (ownOptions.length || before)) return ownOptions;
  const isNew = (option) => !before || !before.includes(option);
  for (let root = field.parentNode; root; root = root.parentNode || root.host) {
    const found = root.querySelectorAll ? optionsIn(root, isNew) : [];
    if (found.length) return found;
  }
  return [];
}
