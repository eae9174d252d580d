// Numbers and names as people read them.
import type { FailoverReason, JudgeResult } from "../../../contract/client.js";

const whole = new Intl.NumberFormat("en-US");

/** 2nd in line. */
export function placeInLine(position: number): string {
  const teen = position % 100 >= 11 && position % 100 <= 13;
  const ending = teen ? "th" : (["th", "st", "nd", "rd"][position % 10] ?? "th");
  return `${position}${ending} in line`;
}

export interface UsageFigures {
  promptTokens: number;
  outputTokens: number;
  /** Absent where it is not known. */
  sessionTokens?: number;
  /** US dollars; absent where the model has no price. */
  cost?: number;
}

/** Prompt: 2,100 | Output: 450 | Session: 5,230 tokens | $0.01. */
export function usageLine(usage: UsageFigures): string {
  const parts = [`Prompt: ${whole.format(usage.promptTokens)}`, `Output: ${whole.format(usage.outputTokens)}`];
  if (usage.sessionTokens !== undefined) parts.push(`Session: ${whole.format(usage.sessionTokens)} tokens`);
  if (usage.cost !== undefined) parts.push(dollars(usage.cost));
  return parts.join(" | ");
}

/** Cents, and small amounts to the first digits that say something. */
export function dollars(amount: number): string {
  if (amount === 0 || amount >= 0.01) return `$${amount.toFixed(2)}`;
  return amount < 0.0001 ? "<$0.0001" : `$${amount.toFixed(4)}`;
}

export function seconds(milliseconds: number): string {
  return `${Math.max(1, Math.ceil(milliseconds / 1000))} s`;
}

export function words(text: string): number {
  return text.split(/\s+/u).filter((word) => /[\p{L}\p{N}]/u.test(word)).length;
}

export function wordCount(text: string): string {
  const count = words(text);
  return `${whole.format(count)} ${count === 1 ? "word" : "words"}`;
}

export function excerpt(text: string, longest: number): string {
  const line = text.replace(/\s+/gu, " ").trim();
  return line.length <= longest ? line : `${line.slice(0, longest - 1).trimEnd()}…`;
}

const reasons: Record<FailoverReason, (provider: string) => string> = {
  primary_unavailable: (provider) => `${provider} is unavailable`,
  primary_degraded: (provider) => `${provider} is unavailable`,
  half_open_probe_failed: (provider) => `${provider} is still unavailable`,
  primary_cooldown: (provider) => `${provider} has asked for a pause`,
  primary_auth_failed: (provider) => `${provider} refused its credentials`,
  primary_local_limit: (provider) => `${provider} is at its rate limit`,
};

export function switchReason(reason: FailoverReason, provider: string): string {
  return reasons[reason](provider);
}

export function judgeLabel(result: JudgeResult): string {
  const found = result.labels.length === 0 ? "no findings" : `${result.severity} · ${result.labels.join(", ")}`;
  return `Quality: ${found}${result.partialChecksSkipped ? " (rules only)" : ""}`;
}
