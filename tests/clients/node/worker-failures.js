// What the binding throws.
async function thrown(call) {
  try {
    await call();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
  return "nothing was thrown";
}

export default {
  async fetch(request, env) {
    const search = env.AI_SEARCH;
    return Response.json({
      instance: await thrown(() => search.get("nobody").search({ query: "x" })),
      item: await thrown(() => search.get("my-instance").items.get("nothing").info()),
      request: await thrown(() => search.get("my-instance").search({})),
      path: await thrown(() => search.get("..").search({ query: "x" })),
      empty: await thrown(() => search.get("").info()),
    });
  },
};
