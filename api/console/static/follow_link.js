// Sends the form of a sign-in link at once; without scripts its button does.

document.getElementById("follow-link").requestSubmit();
