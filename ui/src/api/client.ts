import { Secondpass } from "secondpass";

import { apiKey } from "../state/key";

/** The client of the server that this page came from. */
export const client = new Secondpass({
  baseUrl: location.origin,
  apiKey: () => apiKey.get() ?? undefined,
  // A visitor sees an error and decides; a full queue is still waited for once.
  maxRetries: 1,
});
