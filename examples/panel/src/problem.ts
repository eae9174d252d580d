// Whatever goes wrong, in the one shape that the page shows.
import { TidegateError, type ErrorBody } from "../../../contract/client.js";

export interface Problem {
  /** A code of the gateway, a CLIENT_ code, or OFFLINE where nothing answered. */
  code: string;
  message: string;
  traceId?: string | undefined;
  details?: unknown;
  retryable: boolean;
  /** Milliseconds. */
  retryAfterMs?: number | undefined;
}

export function problemOf(thrown: unknown): Problem {
  if (thrown instanceof TidegateError) {
    // The page's own server answers without an envelope when it cannot reach the gateway.
    if (thrown.code === "CLIENT_NO_ENVELOPE" && thrown.status >= 500) return offline;
    return thrown;
  }
  // What fetch and the readers of its bodies throw when the network fails.
  if (thrown instanceof TypeError) return offline;
  return { code: "CLIENT_DEFECT", message: String(thrown), retryable: false };
}

export function problemOfBody(body: ErrorBody | undefined): Problem {
  return body ?? { code: "CLIENT_DEFECT", message: "The run failed without saying why.", retryable: false };
}

const offline: Problem = { code: "OFFLINE", message: "The gateway cannot be reached.", retryable: true };

/** Nobody can answer for now, whatever is asked; true of no single request. */
export function isOutage(problem: Problem): boolean {
  return ["OFFLINE", "AI_PROVIDER_UNAVAILABLE", "AI_NOT_CONFIGURED", "SERVER_OVERLOADED"].includes(problem.code);
}

/** The chat has no room, and says so with a hint. */
export function isCapacity(problem: Problem): boolean {
  const { details } = problem;
  return problem.code === "CONFLICT" && typeof details === "object" && details !== null
    && "hint" in details && details.hint === "archive";
}

/** Asking again may help: the gateway says so, or the model may well answer otherwise. */
export function isWorthRepeating(problem: Problem): boolean {
  return problem.retryable || ["CANCELED", "CLIENT_CUT_OFF", "SKILL_OUTPUT_INVALID"].includes(problem.code);
}

const headlines: Record<string, string> = {
  OFFLINE: "The gateway cannot be reached",
  AI_PROVIDER_UNAVAILABLE: "No provider answers",
  AI_NOT_CONFIGURED: "No provider is set up",
  AI_AUTH_FAILED: "The provider refused the credentials",
  AI_RATE_LIMITED: "Too many requests",
  AI_SESSION_TOKEN_BUDGET_EXCEEDED: "The token budget is used up",
  COST_BUDGET_EXCEEDED: "The cost limit is reached",
  SERVER_OVERLOADED: "The gateway is busy",
  SKILL_OUTPUT_INVALID: "The answer was not usable",
  SKILL_QUEUE_OVERFLOW: "Too many requests are waiting",
  SKILL_TIMEOUT: "No answer in time",
};

/** The gateway's words as a sentence of their own. */
export function sentence({ message }: Problem): string {
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?…]$/u.test(text) ? text : `${text}.`;
}

export function headline(problem: Problem): string {
  return headlines[problem.code] ?? "That did not work";
}
