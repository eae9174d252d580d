// What a run used, as the gateway booked it, with the rest of its conversation.
import type { Client } from "../../../contract/client.js";
import type { UsageFigures } from "./format.js";
import { randomHex, type Run } from "./run.js";

// Request ids are the caller's to choose. These name their conversation, so that its runs are found again after a reload.
export function requestIdIn(conversation: string): string {
  return `${prefix(conversation)}${randomHex(12)}`;
}

function prefix(conversation: string): string {
  return `panel:${conversation}:`;
}

/** Undefined where neither the gateway nor the run can tell. */
export async function usageOf(
  client: Client,
  conversation: string,
  requestId: string,
  run: Run,
): Promise<UsageFigures | undefined> {
  const { records } = await client.call("cost:usage:list", {}).catch(() => ({ records: [] }));
  const own = records.find((record) => record.requestId === requestId);
  if (own === undefined) return run.tokens && { promptTokens: run.tokens.prompt, outputTokens: run.tokens.output };
  const session = records.filter((record) => record.requestId.startsWith(prefix(conversation)))
    .reduce((sum, { inputTokens, outputTokens }) => sum + inputTokens + outputTokens, 0);
  return {
    promptTokens: own.inputTokens,
    outputTokens: own.outputTokens,
    sessionTokens: session,
    ...(own.warning === "COST_MODEL_NOT_FOUND" ? {} : { cost: own.cost }),
  };
}
