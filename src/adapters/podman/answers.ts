/** What Podman's answers must be, and its errors in words. */

import { plain } from "./pull.ts";
import { PodmanTrouble, type Answer, type Call } from "./socket.ts";

export type Named = Pick<Call, "action">;

/** An answer that is not as libpod gives it is told in Podman's words, if it has some. */
export function expect(condition: boolean, call: Named, answer: Answer): asserts condition {
  if (!condition) throw new PodmanTrouble(`${call.action}: ${wordsOf(answer)}`);
}

export function parsed({ action }: Named, answer: Answer): unknown {
  try {
    return JSON.parse(answer.body) as unknown;
  } catch {
    throw new PodmanTrouble(`${action}: podman's answer is not JSON`);
  }
}

/** libpod's errors are `{"cause", "message", "response"}`. */
export function wordsOf({ status, body }: Answer): string {
  try {
    const error = JSON.parse(body) as unknown;
    if (isRecord(error) && typeof error["message"] === "string") return `podman answers ${status}: ${plain(error["message"], [])}`;
  } catch {
    // A body that is not JSON has no words for people.
  }
  return status === 200 ? "podman's answer is not as expected" : `podman answers ${status}`;
}

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null;
