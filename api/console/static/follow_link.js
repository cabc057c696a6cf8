// Posts the token of a sign-in link, which stands in the fragment.

const form = document.getElementById("follow-link");
const token = location.hash.slice(1);
if (token) {
  form.elements.token.value = token;
  // The token does not stay in the browser's history.
  history.replaceState(null, "", location.pathname);
  form.requestSubmit();
} else {
  location.replace("/console/sign-in");
}
