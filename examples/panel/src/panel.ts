// The panel beside the text: chats, skills on the selected passage, and everything that can happen to an answer.
import type { AiSkillRunRequest, Client, FeedbackAction } from "../../../contract/client.js";
import { AnswerCard, questionCard, type Choice } from "./answer_card.js";
import { Conversations, type Conversation } from "./conversations.js";
import { button, element } from "./dom.js";
import type { Editor, Passage } from "./editor.js";
import { excerpt, usageLine, wordCount } from "./format.js";
import { headline, isCapacity, isOutage, problemOf, type Problem } from "./problem.js";
import { PushFeed } from "./push_feed.js";
import { Run } from "./run.js";
import { panelSkills, type PanelSkill } from "./skills.js";
import { requestIdIn, usageOf } from "./usage.js";

export interface PanelOptions {
  root: HTMLElement;
  client: Client;
  editor: Editor;
  projectId: string;
  documentId: string;
  /** Undefined: the gateway's own choice. */
  model: string | undefined;
  /** What the writer has told about the text. */
  notes: () => string;
}

/** What was asked for; asking once more takes the same. */
interface Job {
  conversation: Conversation;
  question: HTMLLIElement;
  card: AnswerCard;
  run?: Run;
  /** Stopped while its question was on the way to the chat. */
  stopped?: boolean;
  skill: PanelSkill | undefined;
  input: string;
  passage: Passage | undefined;
  candidates: number;
  /** The stored message that a chat's run answers. */
  messageId?: string;
}

// A browser opens six connections to a server: each run holds one, the feed another, and one stays for the calls.
const mostRuns = 4;
const candidateCount = 3;

export class Panel {
  readonly #options: PanelOptions;
  readonly #client: Client;
  readonly #conversations: Conversations;
  readonly #feed = new PushFeed();
  readonly #jobs = new Set<Job>();
  #current: Conversation;
  #skills: PanelSkill[] = [];
  #atEnd = true;
  #lastTurn: Promise<unknown> = Promise.resolve();
  // The newest stays in view as the answers grow, unless the reader has gone back to something older.
  readonly #grown = new ResizeObserver(() => {
    if (this.#atEnd) this.#toEnd();
  });

  readonly #sessions = element("select", { attributes: { "aria-label": "Chat" } });
  readonly #archive = button("Archive", "small", () => void this.#archiveCurrent());
  readonly #banner = element("div", { class: "banner", attributes: { role: "status" } });
  readonly #log = element("div", {
    class: "log", attributes: { tabindex: "0", role: "group", "aria-label": "Answers" },
  });
  readonly #selection = element("p", { class: "selection" });
  readonly #skillRow = element("div", {
    class: "skills", attributes: { role: "group", "aria-label": "Skills on the selection" },
  });
  readonly #several = element("input", { attributes: { type: "checkbox", id: "several" } });
  readonly #judge = element("input", { attributes: { type: "checkbox", id: "judge", checked: true } });
  readonly #message = element("textarea", { attributes: { rows: "2", "aria-label": "Message" } });
  readonly #send = element("button", { class: "button primary", attributes: { type: "submit" } }, "Send");
  readonly #usage = element("p", { class: "usage", attributes: { "aria-label": "Usage" } });
  readonly #spoken = element("p", { class: "spoken", attributes: { role: "status" } });

  constructor(options: PanelOptions) {
    this.#options = options;
    this.#client = options.client;
    this.#conversations = new Conversations(options.client, options.projectId);
    this.#current = this.#conversations.fresh();
    this.#build();
    this.#show(this.#current);
  }

  async open(): Promise<void> {
    void this.#feed.follow(this.#client);
    this.#feed.listen((push) => {
      if (push.event === "cost:alert") this.#tell("cost", push.data.message);
    });
    await Promise.all([this.#loadSkills(), this.#loadChats()]);
  }

  /** The selection in the text is another. */
  selectionChanged(): void {
    const passage = this.#options.editor.selected();
    this.#selection.replaceChildren(...(passage === undefined
      ? ["Select a passage to work on it."]
      : [element("strong", {}, wordCount(passage.text)), ` selected: “${excerpt(passage.text, 64)}”`]));
    this.#enable();
  }

  #build(): void {
    this.#banner.hidden = true;
    this.#sessions.addEventListener("change", () => {
      const chosen = this.#conversations.all[this.#sessions.selectedIndex];
      if (chosen !== undefined) this.#show(chosen);
    });
    const form = element("form", { class: "composer" }, this.#message, this.#send);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
    this.#message.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#ask();
    });
    this.#log.addEventListener("scroll", () => this.#readerMoved());
    this.#message.addEventListener("input", () => this.#enable());
    this.#options.root.addEventListener("keydown", (event) => {
      const newest = [...this.#jobs].at(-1);
      if (event.key === "Escape" && newest !== undefined) this.#stop(newest);
    });
    this.#options.root.append(
      element("header", { class: "panel-head" },
        element("h2", {}, "Assistant"), this.#sessions,
        button("New", "small", () => this.#show(this.#conversations.fresh())), this.#archive),
      this.#banner, this.#log,
      element("section", { class: "controls", attributes: { "aria-label": "Ask" } },
        this.#selection, this.#skillRow,
        element("div", { class: "switches" },
          element("label", {}, this.#several, "Three candidates"),
          element("label", {}, this.#judge, "Check quality")),
        form, this.#usage),
      this.#spoken);
  }

  async #loadSkills(): Promise<void> {
    this.#skills = await panelSkills(this.#client);
    this.#skillRow.replaceChildren(...this.#skills.map((skill) =>
      button(skill.name, "small skill", () => this.#apply(skill))));
    this.#enable();
  }

  async #loadChats(): Promise<void> {
    try {
      await this.#inTurn(() => this.#conversations.refresh());
      const latest = this.#conversations.all.find(({ sessionId, archived }) => sessionId !== undefined && !archived);
      // Who has begun meanwhile stays where the question is.
      const begun = this.#current.list.childElementCount > 0;
      this.#show(begun || latest === undefined ? this.#current : latest);
    } catch (thrown) {
      this.#report(problemOf(thrown));
    }
  }

  #show(conversation: Conversation): void {
    this.#current = conversation;
    this.#conversations.dropUnused(conversation);
    this.#log.replaceChildren(conversation.list);
    this.#grown.disconnect();
    for (const one of [this.#log, conversation.list]) this.#grown.observe(one);
    this.#usage.textContent = conversation.usage;
    this.#drawSessions();
    conversation.load(this.#client, this.#options.projectId)
      .then(() => this.#toEnd(), (thrown) => this.#report(problemOf(thrown)));
  }

  #drawSessions(): void {
    this.#sessions.replaceChildren(...this.#conversations.all.map((one) => {
      const attributes = { selected: one === this.#current };
      return element("option", { attributes }, `${excerpt(one.title, 40)}${one.archived ? " (archived)" : ""}`);
    }));
    this.#enable();
  }

  #enable(): void {
    const { sessionId, archived } = this.#current;
    const busy = this.#jobs.size >= mostRuns;
    const passage = this.#options.editor.selected();
    this.#archive.disabled = sessionId === undefined || archived;
    this.#message.disabled = archived;
    this.#message.placeholder = archived ? "This chat is archived. Start a new one to go on." : "Ask about your text …";
    this.#send.disabled = archived || busy || this.#message.value.trim() === "";
    for (const one of this.#skillRow.querySelectorAll("button")) one.disabled = archived || busy || passage === undefined;
  }

  #ask(): void {
    const text = this.#message.value.trim();
    if (text === "" || this.#send.disabled) return;
    this.#message.value = "";
    this.#begin(undefined, text, undefined, 1);
  }

  #apply(skill: PanelSkill): void {
    const passage = this.#options.editor.selected();
    if (passage !== undefined) this.#begin(skill, passage.text, passage, this.#several.checked ? candidateCount : 1);
  }

  #begin(skill: PanelSkill | undefined, input: string, passage: Passage | undefined, candidates: number): void {
    const question = skill === undefined ? questionCard(input) : questionCard(skill.name, excerpt(input, 140));
    const card = new AnswerCard(skill?.name ?? "Chat", () => this.#stop(job));
    const job: Job = { conversation: this.#current, question, card, skill, input, passage, candidates };
    this.#current.list.append(question, card.root);
    this.#toEnd();
    void this.#attempt(job);
  }

  #stop(job: Job): void {
    if (job.run === undefined) job.stopped = true;
    else job.run.stop();
  }

  async #attempt(job: Job): Promise<void> {
    if (this.#jobs.size >= mostRuns) {
      this.#tell("busy", "Four answers are under way. Stop one, or wait for one to end.");
      return;
    }
    job.card.begin();
    delete job.run;
    delete job.stopped;
    this.#jobs.add(job);
    this.#enable();
    try {
      if (job.skill !== undefined || (await this.#store(job))) await this.#run(job);
    } finally {
      this.#jobs.delete(job);
      this.#clear("busy");
      this.#enable();
    }
  }

  /** Keeps the question in its chat; false where that failed, which the card then tells. */
  async #store(job: Job): Promise<boolean> {
    if (job.messageId !== undefined) return true;
    const { conversation } = job;
    const { projectId, documentId } = this.#options;
    try {
      const isNew = await this.#inTurn(async () => {
        const { sessionId } = conversation;
        const where = sessionId === undefined ? { newSession: true } : { sessionId };
        const stored = await this.#client.call("ai:chat:send", { message: job.input, projectId, documentId, ...where });
        job.messageId = stored.messageId;
        conversation.sessionId = stored.sessionId;
        return sessionId === undefined;
      });
      if (isNew) void this.#refreshChats();
      return true;
    } catch (thrown) {
      this.#fail(job, problemOf(thrown));
      return false;
    }
  }

  // Two first messages must not make two chats, nor a list that is on its way miss the chat that is just made.
  #inTurn<Result>(act: () => Promise<Result>): Promise<Result> {
    const turn = this.#lastTurn.then(act);
    this.#lastTurn = turn.catch(() => undefined);
    return turn;
  }

  async #run(job: Job): Promise<void> {
    const place = this.#placeOf(job.conversation);
    const request = this.#requestOf(job, requestIdIn(place));
    const run = new Run(this.#client, request, () => {
      job.card.draw(run);
      if (run.text !== "") this.#clear("outage");
    });
    job.run = run;
    if (job.stopped === true) run.stop();
    // Each has a connection of its own, and the gateway's line is in the order of arrival: the second may not overtake.
    const before = job.conversation.placed;
    job.conversation.placed = before.then(() => run.placed);
    await run.start(this.#feed, before);
    this.#spoken.textContent = `${job.skill?.name ?? "Chat"}: ${run.state}`;
    if (run.state === "completed") this.#complete(job, run);
    else if (run.state === "stopped") job.card.offerAgain(() => void this.#attempt(job));
    else if (run.problem !== undefined) this.#fail(job, run.problem);
    void usageOf(this.#client, place, request.requestId ?? "", run).then((usage) => {
      // What reached no model used nothing, and says nothing.
      if (usage === undefined || usage.promptTokens + usage.outputTokens === 0) return;
      job.conversation.usage = usageLine(usage);
      this.#usage.textContent = this.#current.usage;
    });
  }

  // What runs of this conversation are booked under.
  #placeOf({ sessionId }: Conversation): string {
    return sessionId ?? this.#options.documentId;
  }

  #requestOf(job: Job, requestId: string): AiSkillRunRequest & { requestId: string } {
    const { projectId, documentId, model, notes, editor } = this.#options;
    const { skill, passage, candidates, messageId } = job;
    const { sessionId } = job.conversation;
    return {
      skillId: skill?.id ?? "builtin:chat",
      input: job.input,
      requestId,
      context: {
        projectId, documentId, memory: notes(),
        ...(sessionId === undefined ? {} : { sessionId }),
        ...(messageId === undefined ? {} : { messageId }),
        ...(skill === undefined ? { text: editor.text } : {}),
      },
      ...(passage === undefined ? {} : { hasSelection: true, selection: passage.text }),
      ...(candidates > 1 ? { candidateCount: candidates } : {}),
      ...(model === undefined ? {} : { model }),
    };
  }

  #complete(job: Job, run: Run): void {
    this.#clear("outage");
    const { card } = job;
    if (run.candidates.length > 0) {
      const use = job.skill?.use === "read" ? undefined : (candidate: { runId: string; text: string }) =>
        this.#insert(job, candidate.text, candidate.runId);
      card.compare(run.candidates, run.failedCandidates, use, () => {
        for (const { runId } of run.candidates) this.#feedback(runId, "reject");
      });
    } else card.offer(this.#choices(job, run));
    if (this.#judge.checked) {
      if (run.candidates.length === 0) void this.#evaluate(card.judging(), run, run.text);
      else run.candidates.forEach(({ text }, index) => void this.#evaluate(card.judging(index), run, text));
    }
    if (job.skill === undefined) void this.#refreshChats();
  }

  #choices(job: Job, run: Run): Choice[] {
    if (job.skill === undefined || job.skill.use === "read") return [];
    const label = job.skill.use === "append" ? "Insert after" : "Replace selection";
    return [
      { label, act: () => this.#insert(job, run.text, run.runId) },
      { label: "Discard", act: () => {
        this.#feedback(run.runId, "reject");
        return undefined;
      } },
    ];
  }

  #insert({ passage, skill }: Job, text: string, runId: string): string | undefined {
    const { editor } = this.#options;
    const put = passage !== undefined
      && (skill?.use === "append" ? editor.insertAfter(passage, text) : editor.replace(passage, text));
    if (!put) return "The passage has changed since. Copy the answer to where it belongs.";
    this.#feedback(runId, "accept");
    return undefined;
  }

  // Of use to whoever tends the prompts; the writer need not know when it is lost.
  #feedback(runId: string, action: FeedbackAction): void {
    this.#client.call("ai:skill:feedback", { runId, action, evidenceRef: this.#options.documentId })
      .catch((problem: unknown) => console.warn("panel: feedback:", problem));
  }

  async #evaluate(tell: ReturnType<AnswerCard["judging"]>, { traceId }: Run, text: string): Promise<void> {
    const { projectId, notes } = this.#options;
    const contextSummary = notes().trim() || "A piece of prose.";
    try {
      const judged = await this.#client.call("judge:quality:evaluate", { projectId, traceId, text, contextSummary });
      tell(judged.result);
    } catch {
      tell(undefined);
    }
  }

  #fail(job: Job, problem: Problem): void {
    if (isCapacity(problem)) {
      job.card.capacity(problem, () => void this.#moveOn(job));
      return;
    }
    job.card.fail(problem, () => void this.#attempt(job));
    if (isOutage(problem)) this.#report(problem);
  }

  /** Archives the full chat and asks the same in a new one. */
  async #moveOn(job: Job): Promise<void> {
    job.card.begin();
    try {
      await this.#conversations.archive(job.conversation);
    } catch (thrown) {
      this.#fail(job, problemOf(thrown));
      return;
    }
    const next = this.#conversations.fresh();
    next.list.append(job.question, job.card.root);
    job.conversation = next;
    delete job.messageId;
    this.#show(next);
    await this.#attempt(job);
  }

  async #archiveCurrent(): Promise<void> {
    try {
      await this.#conversations.archive(this.#current);
      this.#drawSessions();
      this.#spoken.textContent = "The chat is archived.";
    } catch (thrown) {
      this.#report(problemOf(thrown));
    }
  }

  async #refreshChats(): Promise<void> {
    try {
      await this.#inTurn(() => this.#conversations.refresh());
      this.#drawSessions();
    } catch (thrown) {
      this.#report(problemOf(thrown));
    }
  }

  #report(problem: Problem): void {
    const comfort = isOutage(problem) ? " You can go on writing; ask again later." : "";
    this.#tell("outage", `${headline(problem)}.${comfort}`);
  }

  /** One line of each kind. */
  #tell(kind: string, words: string): void {
    this.#clear(kind);
    this.#banner.append(element("p", { class: kind }, words));
    this.#banner.hidden = false;
  }

  #clear(kind: string): void {
    this.#banner.querySelector(`.${kind}`)?.remove();
    this.#banner.hidden = this.#banner.childElementCount === 0;
  }

  #toEnd(): void {
    this.#atEnd = true;
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  #readerMoved(): void {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    this.#atEnd = scrollHeight - scrollTop - clientHeight < 40;
  }
}
