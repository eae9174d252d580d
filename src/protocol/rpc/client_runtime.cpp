#include "protocol/rpc/client_runtime.h"

namespace tidegate::protocol::rpc {

const std::string_view client_runtime = R"ts(export interface Meta {
  requestId: string;
  /** Milliseconds since 1970, UTC. */
  ts: number;
}

export type Envelope<Data> =
  | { ok: true; data: Data; meta?: Meta | undefined }
  | { ok: false; error: ErrorBody; meta?: Meta | undefined };

/** One push, told apart by `event`. */
export type PushEvent = { [Name in PushName]: { event: Name; data: PushMap[Name]; id: string } }[PushName];

/** A call that failed. `code` is CLIENT_NO_ENVELOPE where something else than a gateway answered, CLIENT_CUT_OFF
 * where a run's stream ended without its end. Failures of fetch itself come as they are. */
export class TidegateError extends Error {
  readonly code: ErrorCode | "CLIENT_NO_ENVELOPE" | "CLIENT_CUT_OFF";
  readonly details: unknown;
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  readonly traceId: string | undefined;
  readonly requestId: string | undefined;
  /** HTTP status. */
  readonly status: number;

  constructor(
    error: Omit<ErrorBody, "code"> & { code: TidegateError["code"] },
    status: number,
    requestId?: string,
  ) {
    super(error.message);
    this.name = "TidegateError";
    this.code = error.code;
    this.details = error.details;
    this.retryable = error.retryable;
    this.retryAfterMs = error.retryAfterMs;
    this.traceId = error.traceId;
    this.requestId = requestId;
    this.status = status;
  }
}

export interface ClientOptions {
  /** "http://127.0.0.1:8787", with or without a path prefix. */
  baseUrl: string;
  apiKey?: string | undefined;
  fetch?: typeof globalThis.fetch | undefined;
}

export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** W3C trace context of the caller. */
  traceparent?: string | undefined;
}

export interface RunStreamOptions extends CallOptions {
  /** Every push of the run, in order; what it throws ends the run's stream and is thrown on. */
  onPush?: ((push: PushEvent) => void) | undefined;
}

export interface SubscribeOptions {
  project?: string | undefined;
  session?: string | undefined;
  executionId?: string | undefined;
  /** Go on behind this push. */
  lastEventId?: string | undefined;
  signal?: AbortSignal | undefined;
}

export interface Client {
  /** The data of the reply, or a TidegateError. */
  call<Name extends Channel>(
    channel: Name,
    request: ChannelMap[Name]["request"],
    options?: CallOptions,
  ): Promise<ChannelMap[Name]["reply"]>;
  /** Runs a skill, its pushes on the same connection, and gives its done push; look at `terminal` there. Aborting
   * cancels the run. */
  runStream(request: AiSkillRunRequest, options?: RunStreamOptions): Promise<SkillStreamDonePush>;
  /** Pushes until the signal aborts or the loop is left; comes back by itself where it stopped when the connection
   * breaks. Throws a TidegateError where the gateway refuses for good. */
  subscribe(options?: SubscribeOptions): AsyncGenerator<PushEvent, void, undefined>;
}

export function createClient(options: ClientOptions): Client {
  return new HttpClient(options);
}

const firstWaitMs = 500;
const longestWaitMs = 30_000;
// A line longer than this is no push: its reader must not keep it.
const longestEvent = 64 * 1024 * 1024;

class HttpClient implements Client {
  readonly #baseUrl: string;
  readonly #headers: Record<string, string>;
  readonly #fetch: typeof globalThis.fetch;

  constructor(options: ClientOptions) {
    this.#baseUrl = options.baseUrl.replace(/\/+$/, "");
    this.#headers = options.apiKey === undefined ? {} : { authorization: `Bearer ${options.apiKey}` };
    this.#fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
  }

  async call<Name extends Channel>(
    channel: Name,
    request: ChannelMap[Name]["request"],
    options: CallOptions = {},
  ): Promise<ChannelMap[Name]["reply"]> {
    const response = await this.#post(channel, request, "application/json", options);
    return (await envelopeData(response)) as ChannelMap[Name]["reply"];
  }

  async runStream(request: AiSkillRunRequest, options: RunStreamOptions = {}): Promise<SkillStreamDonePush> {
    const response = await this.#post("ai:skill:run", { ...request, stream: true }, "text/event-stream", options);
    if (!isEventStream(response)) {
      await envelopeData(response);
      throw noEnvelope(response, "expected an event stream");
    }
    let done: SkillStreamDonePush | undefined;
    for await (const message of messagesOf(response, options.signal)) {
      const push = pushOf(message);
      if (push === undefined) continue;
      options.onPush?.(push);
      if (push.event === "skill:stream:done") done = push.data;
    }
    if (done !== undefined) return done;
    throw new TidegateError(
      { code: "CLIENT_CUT_OFF", message: "the stream ended before the run did", retryable: false },
      response.status,
    );
  }

  async *subscribe(options: SubscribeOptions = {}): AsyncGenerator<PushEvent, void, undefined> {
    const position: StreamPosition = { lastEventId: options.lastEventId ?? "", waitMs: firstWaitMs };
    const stopped = () => options.signal?.aborted === true;
    let failures = 0;
    while (!stopped()) {
      let waitMs = position.waitMs;
      try {
        const response = await this.#events(options, position.lastEventId);
        if (!isEventStream(response)) {
          await envelopeData(response);
          throw noEnvelope(response, "expected an event stream");
        }
        for await (const message of messagesOf(response, options.signal, position)) {
          failures = 0;
          const push = pushOf(message);
          if (push !== undefined) yield push;
        }
      } catch (problem) {
        if (stopped()) return;
        if (problem instanceof TidegateError) {
          if (!problem.retryable) throw problem;
          waitMs = Math.max(waitMs, problem.retryAfterMs ?? 0);
        } else if (!isConnectionProblem(problem)) {
          throw problem;
        }
      }
      await pause(Math.min(longestWaitMs, waitMs * 2 ** Math.min(failures, 10)), options.signal);
      failures += 1;
    }
  }

  #post(channel: Channel, request: unknown, accept: string, options: CallOptions): Promise<Response> {
    const headers: Record<string, string> = { ...this.#headers, "content-type": "application/json", accept };
    if (options.traceparent !== undefined) headers["traceparent"] = options.traceparent;
    return this.#fetch(`${this.#baseUrl}/rpc/${channel}`, {
      method: "POST",
      headers,
      body: JSON.stringify(request),
      redirect: "error",
      signal: options.signal ?? null,
    });
  }

  #events(options: SubscribeOptions, lastEventId: string): Promise<Response> {
    const query = new URLSearchParams();
    for (const name of ["project", "session", "executionId"] as const) {
      const value = options[name];
      if (value !== undefined) query.set(name, value);
    }
    const headers: Record<string, string> = { ...this.#headers, accept: "text/event-stream" };
    if (lastEventId !== "") headers["last-event-id"] = lastEventId;
    const tail = query.size === 0 ? "" : `?${query.toString()}`;
    return this.#fetch(`${this.#baseUrl}/rpc/events${tail}`, {
      headers,
      redirect: "error",
      cache: "no-store",
      signal: options.signal ?? null,
    });
  }
}

function isEventStream(response: Response): boolean {
  const type = response.headers.get("content-type") ?? "";
  return response.ok && type.trim().toLowerCase().startsWith("text/event-stream");
}

async function envelopeData(response: Response): Promise<unknown> {
  const text = await response.text();
  let envelope: unknown;
  try {
    envelope = JSON.parse(text);
  } catch {
    throw noEnvelope(response, "the answer is not JSON");
  }
  if (!isEnvelope(envelope)) throw noEnvelope(response, "the answer is no envelope");
  if (envelope.ok === true) return envelope.data;
  throw new TidegateError(envelope.error, response.status, envelope.meta?.requestId);
}

function isEnvelope(value: unknown): value is Envelope<unknown> {
  if (typeof value !== "object" || value === null || !("ok" in value)) return false;
  if (value.ok === true) return "data" in value;
  if (value.ok !== false || !("error" in value)) return false;
  const error = value.error;
  return typeof error === "object" && error !== null && "code" in error && "message" in error;
}

function noEnvelope(response: Response, what: string): TidegateError {
  const retryable = response.status === 429 || response.status >= 500;
  const message = `HTTP ${response.status}: ${what}`;
  return new TidegateError({ code: "CLIENT_NO_ENVELOPE", message, retryable }, response.status);
}

// What fetch and a body's reader throw when the network fails.
function isConnectionProblem(problem: unknown): boolean {
  return problem instanceof TypeError || (problem instanceof Error && problem.name === "NetworkError");
}

function pause(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, waitMs);
    if (signal?.aborted === true) finish();
    else signal?.addEventListener("abort", finish);
  });
}

function pushOf(message: StreamMessage): PushEvent | undefined {
  // A gateway of a later version may push what this client does not know.
  if (!pushNames.has(message.event)) return undefined;
  return { event: message.event, data: JSON.parse(message.data), id: message.id } as PushEvent;
}

interface StreamMessage {
  event: string;
  data: string;
  id: string;
}

interface StreamPosition {
  lastEventId: string;
  waitMs: number;
}

/** Server-sent events as the WHATWG's standard reads them: lines end with LF, CRLF or CR wherever the bytes are
 * split; what no blank line ends is dropped. */
export class EventStreamReader {
  readonly #position: StreamPosition;
  readonly #decoder = new TextDecoder();
  #rest = "";
  #afterReturn = false;
  #id: string;
  #event = "";
  #data: string[] = [];
  #size = 0;

  constructor(position: StreamPosition = { lastEventId: "", waitMs: firstWaitMs }) {
    this.#position = position;
    this.#id = position.lastEventId;
  }

  /** The events that these bytes complete. */
  read(bytes: Uint8Array): StreamMessage[] {
    const messages: StreamMessage[] = [];
    let text = this.#decoder.decode(bytes, { stream: true });
    if (this.#afterReturn && text !== "") {
      this.#afterReturn = false;
      if (text.startsWith("\n")) text = text.slice(1);
    }
    const ends = /\r\n|\r|\n/g;
    let begin = 0;
    for (let end = ends.exec(text); end !== null; end = ends.exec(text)) {
      this.#line(this.#rest + text.slice(begin, end.index), messages);
      this.#rest = "";
      begin = ends.lastIndex;
    }
    // A line feed at the head of the next bytes belongs to this return.
    if (text.endsWith("\r")) this.#afterReturn = true;
    this.#rest += text.slice(begin);
    if (this.#rest.length + this.#size > longestEvent) throw new RangeError("an event of the stream is too long");
    return messages;
  }

  #line(line: string, messages: StreamMessage[]): void {
    if (line === "") {
      if (this.#data.length > 0) {
        const event = this.#event === "" ? "message" : this.#event;
        messages.push({ event, data: this.#data.join("\n"), id: this.#id });
      }
      // Only now: an event that is cut off is asked for again.
      this.#position.lastEventId = this.#id;
      this.#event = "";
      this.#data = [];
      this.#size = 0;
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (name === "event") this.#event = value;
    else if (name === "data") {
      this.#data.push(value);
      this.#size += value.length + 1;
    } else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^[0-9]+$/.test(value)) {
      this.#position.waitMs = Math.min(Number(value), longestWaitMs);
    }
  }
}

async function* messagesOf(
  response: Response,
  signal: AbortSignal | undefined,
  position?: StreamPosition,
): AsyncGenerator<StreamMessage, void, undefined> {
  if (response.body === null) return;
  const source = response.body.getReader();
  const events = new EventStreamReader(position);
  // Node's fetch forgets the signal once its request has been collected as garbage; the reader must not.
  const leave = () => void source.cancel().catch(() => undefined);
  signal?.addEventListener("abort", leave, { once: true });
  try {
    for (let part = await source.read(); !part.done; part = await source.read()) yield* events.read(part.value);
    signal?.throwIfAborted();
  } finally {
    signal?.removeEventListener("abort", leave);
    // Leaving early ends the connection; an end that has come already makes no difference.
    await source.cancel().catch(() => undefined);
  }
}
)ts";

}  // namespace tidegate::protocol::rpc
