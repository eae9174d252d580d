// The project's chats: which there are, which is shown, and what was said in each.
import type { ChatMessage, ChatSession, Client } from "../../../contract/client.js";
import { keptCard, questionCard } from "./answer_card.js";
import { element } from "./dom.js";

/** A chat on the page; without a session until its first message is stored. */
export class Conversation {
  sessionId: string | undefined;
  title = "New chat";
  archived = false;
  /** What its last run used, in words. */
  usage = "No usage yet";
  /** Resolves when all its runs so far have their place in line at the gateway, or are over. */
  placed: Promise<void> = Promise.resolve();
  readonly list = element("ol", {
    class: "entries", attributes: { role: "log", "aria-live": "polite", "aria-label": "Conversation" },
  });
  #loaded: boolean;

  constructor(session?: ChatSession) {
    this.#loaded = session === undefined;
    if (session !== undefined) this.update(session);
  }

  update(session: ChatSession): void {
    this.sessionId = session.sessionId;
    this.title = session.title;
    this.archived = session.archived;
  }

  /** What the gateway keeps of it, once. */
  async load(client: Client, projectId: string): Promise<void> {
    if (this.#loaded || this.sessionId === undefined) return;
    const { items } = await client.call("ai:chat:list", { projectId, sessionId: this.sessionId });
    if (this.#loaded) return;
    this.#loaded = true;
    this.list.prepend(...items.map(cardOf));
  }
}

function cardOf(message: ChatMessage): HTMLLIElement {
  return message.role === "user" ? questionCard(message.content) : keptCard("Chat", message.content);
}

export class Conversations {
  /** What is not stored yet, then as the gateway orders them. */
  all: Conversation[] = [];
  readonly #client: Client;
  readonly #projectId: string;

  constructor(client: Client, projectId: string) {
    this.#client = client;
    this.#projectId = projectId;
  }

  /** Takes over what the gateway knows; chats on the page keep what they show. */
  async refresh(): Promise<void> {
    const { sessions } = await this.#client.call("ai:chat:sessions", { projectId: this.#projectId });
    const known = new Map(this.all.map((one) => [one.sessionId, one]));
    const fresh = this.all.filter((one) => one.sessionId === undefined);
    this.all = [...fresh, ...sessions.map((session) => {
      const conversation = known.get(session.sessionId) ?? new Conversation(session);
      conversation.update(session);
      return conversation;
    })];
  }

  /** An empty one, the only one: there is no use in two. */
  fresh(): Conversation {
    const found = this.all.find((one) => one.sessionId === undefined);
    if (found !== undefined) return found;
    const made = new Conversation();
    this.all.unshift(made);
    return made;
  }

  /** Forgets empty chats, but for the one that is shown. */
  dropUnused(shown: Conversation): void {
    this.all = this.all.filter((one) => one === shown || one.sessionId !== undefined || one.list.childElementCount > 0);
  }

  async archive(conversation: Conversation): Promise<void> {
    const { sessionId } = conversation;
    if (sessionId === undefined) return;
    await this.#client.call("ai:chatsession:archive", { projectId: this.#projectId, sessionId });
    conversation.archived = true;
  }
}
