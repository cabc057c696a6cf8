/** Uses every method of the JavaScript client's gallery; returns what it saw. */
export async function scenario({ Darkroom, DarkroomError }, { url, key, picture, jobId }) {
  const { gallery } = new Darkroom(url, key);
  const observed = {};
  observed.profile = (await gallery.updateProfile({ bio: "from JavaScript" })).bio;
  observed.shown = (await gallery.profile((await gallery.profile()).address)).bio;
  observed.slug = (await gallery.createCollection("From JS", { royaltyFee: 5 })).slug;
  observed.suggestion = await gallery.createCollection("From JS").catch((error) => {
    if (!(error instanceof DarkroomError)) throw error;
    return [error.status, error.code, error.details.suggestion];
  });
  await gallery.createCollection("Other JS");
  const bytes = Uint8Array.from(atob(picture), (character) => character.charCodeAt(0));
  const attributes = [{ trait_type: "Level", value: 3, display_type: "number" }];
  const first = await gallery.add("from-js", { picture: new Blob([bytes]), name: "first", attributes });
  const second = await gallery.add("from-js", { jobId, name: "second" });
  observed.added = [first.media.status, first.attributes, second.media.status];
  observed.token = (await gallery.token(first.tokenId)).name;
  observed.updated = (await gallery.updateToken(first.tokenId, { name: "renamed" })).name;
  await gallery.reorder("from-js", [second.tokenId, first.tokenId]);
  const page = await gallery.listTokens("from-js", { limit: 1 });
  const rest = await gallery.listTokens("from-js", { limit: 1, cursor: page.nextCursor });
  observed.order = [...page.items, ...rest.items].map((token) => token.name);
  observed.latest = (await gallery.listTokens(null, { explicit: "exclude" })).items.length > 1;
  observed.moved = (await gallery.moveToken(first.tokenId, { collection: "other-js" })).collection.slug;
  observed.offer = (await gallery.setListing(first.tokenId, { price: 1, startTime: 1, endTime: 2 })).listing.price;
  observed.withdrawn = (await gallery.setListing(first.tokenId, null)).listing;
  observed.refreshed = (await gallery.refresh(first.tokenId)).refresh.done;
  observed.prompt = (await gallery.provenance(second.tokenId)).prompt;
  observed.again = (await gallery.rerun(second.tokenId)).status;
  const archive = await gallery.exportCollection("from-js", { withoutPrivate: true });
  const imported = await gallery.importCollection(archive);
  observed.imported = [archive.type, imported.collection.name, imported.tokens, imported.problems];
  observed.renamed = (await gallery.updateCollection("other-js", { slug: "moved-js" })).slug;
  observed.redirected = (await gallery.collection("other-js")).slug;
  observed.mine = (await gallery.listCollections({ owner: "me" })).items.map((collection) => collection.slug).sort();
  observed.deleted = [await gallery.deleteToken(first.tokenId), await gallery.deleteCollection("moved-js")];
  observed.gone = await gallery.token(first.tokenId).catch((error) => error.status);
  return observed;
}
