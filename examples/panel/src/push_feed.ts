// The client key's pushes, on one connection for all who want them. Not only the project's: what the key may spend
// belongs to none.
import type { Client, PushEvent } from "../../../contract/client.js";

type Listener = (push: PushEvent) => void;

export class PushFeed {
  readonly #listeners = new Set<Listener>();

  /** Gives the function that ends it. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Returns only when the gateway refuses for good; the panel works without, it only hears less. */
  async follow(client: Client): Promise<void> {
    try {
      for await (const push of client.subscribe()) {
        for (const listener of [...this.#listeners]) listener(push);
      }
    } catch (problem) {
      console.warn("panel: no pushes:", problem);
    }
  }
}
