import { AuthenticationError } from "secondpass";

import { client } from "../api/client";
import type { Capabilities, IndexAbout, Options } from "../api/types";
import { EXAMPLES, SAMPLE_INDEX } from "../model/examples";
import { readView, writeView, type View } from "../model/view";

/** What every part of the page shares: the view, the server's abilities, its indexes. */
class App {
  view = $state<View>(readView(location.hash));
  capabilities = $state.raw<Capabilities | null>(null);
  indexes = $state.raw<IndexAbout[]>([]);
  needsKey = $state(false);
  problem = $state.raw<unknown>(null);
  private pushed = "";

  /** The index that is searched, or null where the server has none. */
  readonly index = $derived(
    this.indexes.find((index) => index.name === this.view.index) ??
      this.indexes.find((index) => index.name === this.capabilities?.default_index) ??
      this.indexes[0] ??
      null,
  );

  async start(): Promise<void> {
    this.problem = null;
    try {
      this.capabilities = await client.capabilities();
      this.needsKey = false;
      await this.refreshIndexes();
    } catch (error) {
      if (error instanceof AuthenticationError) this.needsKey = true;
      else this.problem = error;
      return;
    }
    if (this.view.query === "") await this.askSomething();
  }

  async refreshIndexes(): Promise<void> {
    this.indexes = await client.indexes.list();
  }

  /** Ask a question for a visitor who has asked none yet, so that there is something to see. */
  private async askSomething(): Promise<void> {
    const [example] = EXAMPLES;
    if (this.view.tab !== "search" || this.index === null) return;
    if (this.index.name === SAMPLE_INDEX && example !== undefined) {
      this.ask(example.query, example.options);
    }
  }

  /** Ask a question, with these options in the first configuration where they are given. */
  ask(query: string, options?: Options): void {
    this.view.query = query;
    this.view.selected = "";
    if (options !== undefined) this.view.configurations = [{ ...options }];
  }

  /** Write the view to the address, as a new entry of the history where `push` is true. */
  writeAddress(push: boolean): void {
    const fragment = writeView(this.view);
    const address = location.pathname + (fragment === "" ? "" : `#${fragment}`);
    if (push && address !== this.pushed) {
      history.pushState(null, "", address);
      this.pushed = address;
    } else if (address !== location.pathname + location.hash) {
      history.replaceState(null, "", address);
    }
  }

  readAddress(): void {
    this.view = readView(location.hash);
  }
}

export const app = new App();
