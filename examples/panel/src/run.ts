// One run of a skill, from the click to its end, as a state that a view can draw at any time.
import type {
  AiSkillRunRequest, Candidate, Client, FailedCandidate, Failover, PushEvent, SkillStreamDonePush,
} from "../../../contract/client.js";
import { problemOf, problemOfBody, type Problem } from "./problem.js";
import type { PushFeed } from "./push_feed.js";

export type RunState = "starting" | "waiting" | "running" | "completed" | "stopped" | "failed";

export class Run {
  state: RunState = "starting";
  /** 1 for the next of its session, 0 when not waiting. */
  position = 0;
  text = "";
  /** The answer was begun again; what had come of it is void. */
  restarted = false;
  candidates: Candidate[] = [];
  failedCandidates: FailedCandidate[] = [];
  failover: Failover | undefined;
  problem: Problem | undefined;
  /** Of the run alone; what the session used is not told here. */
  tokens: { prompt: number; output: number } | undefined;
  runId = "";
  readonly traceId = randomHex(16);
  /** Resolves when the gateway has given the run its place in line, or the run is over. */
  readonly placed: Promise<void>;

  readonly #client: Client;
  readonly #request: AiSkillRunRequest;
  readonly #changed: () => void;
  readonly #leave = new AbortController();
  #setPlaced: () => void = () => undefined;
  #executionId = "";
  #stopping = false;

  constructor(client: Client, request: AiSkillRunRequest, changed: () => void) {
    this.#client = client;
    this.#request = request;
    this.#changed = changed;
    this.placed = new Promise((resolve) => { this.#setPlaced = resolve; });
  }

  get over(): boolean {
    return this.state === "completed" || this.state === "stopped" || this.state === "failed";
  }

  /** Sets out after `before`, and resolves when the run is over, however it ended. */
  async start(feed: PushFeed, before: Promise<void>): Promise<void> {
    try {
      const { signal } = this.#leave;
      const left = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      if (!signal.aborted) await Promise.race([before, left]);
      if ((this.#request.candidateCount ?? 1) > 1) await this.#compare(feed);
      else await this.#stream();
    } catch (thrown) {
      const problem = problemOf(thrown);
      this.problem = problem;
      this.#end(this.#stopping || problem.code === "CANCELED" ? "stopped" : "failed");
    }
  }

  /** Cancels the run at the gateway, waiting or running; what has come of it stays. */
  stop(): void {
    if (this.over || this.#stopping) return;
    this.#stopping = true;
    const leave = () => this.#leave.abort();
    if (this.#executionId === "") leave();
    // Leaving the connection cancels as well.
    else this.#client.call("ai:skill:cancel", { executionId: this.#executionId }).catch(leave);
  }

  async #stream(): Promise<void> {
    const done = await this.#client.runStream(this.#request, {
      signal: this.#leave.signal,
      traceparent: this.#traceparent(),
      onPush: (push) => this.#take(push),
    });
    this.runId = done.runId;
    this.text = done.outputText;
    this.#readResult(done);
    if (done.terminal === "completed") return this.#end("completed");
    this.problem = problemOfBody(done.error);
    this.#end(done.terminal === "cancelled" ? "stopped" : "failed");
  }

  // Several answers come at once in the reply; where the run stands meanwhile is told to subscribers only.
  async #compare(feed: PushFeed): Promise<void> {
    const unlisten = feed.listen((push) => {
      if ("traceId" in push.data && push.data.traceId === this.traceId) this.#take(push);
    });
    try {
      const options = { signal: this.#leave.signal, traceparent: this.#traceparent() };
      const reply = await this.#client.call("ai:skill:run", this.#request, options);
      this.runId = reply.runId;
      this.text = reply.outputText ?? "";
      this.candidates = reply.candidates ?? [];
      this.failedCandidates = reply.failedCandidates ?? [];
      this.failover = reply.failover ?? this.failover;
      if (reply.usage !== undefined) {
        this.tokens = { prompt: reply.usage.promptTokens, output: reply.usage.completionTokens };
      }
      this.#end("completed");
    } finally {
      unlisten();
    }
  }

  #take(push: PushEvent): void {
    if (this.over) return;
    switch (push.event) {
      case "skill:queue:status":
        this.#executionId = push.data.executionId;
        this.#setPlaced();
        this.position = push.data.queuePosition;
        if (push.data.status === "queued") this.state = this.position > 0 ? "waiting" : "starting";
        if (push.data.status === "started") this.state = "running";
        break;
      case "skill:stream:chunk":
        this.state = "running";
        this.text += push.data.chunk;
        break;
      case "skill:stream:reset":
        this.text = "";
        this.restarted = true;
        break;
      case "ai:provider:failover": {
        const { from, to, reason } = push.data;
        this.failover = { from, to, reason };
        break;
      }
      default:
        return;
    }
    this.#changed();
  }

  #readResult({ result }: SkillStreamDonePush): void {
    if (result === undefined) return;
    this.tokens = { prompt: result.metadata.promptTokens, output: result.metadata.completionTokens };
  }

  #end(state: RunState): void {
    this.state = state;
    this.position = 0;
    this.#setPlaced();
    this.#changed();
  }

  #traceparent(): string {
    return `00-${this.traceId}-${randomHex(8)}-01`;
  }
}

export function randomHex(bytes: number): string {
  const drawn = crypto.getRandomValues(new Uint8Array(bytes));
  return Array.from(drawn, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
