/** Request bodies of the control API: small JSON, read whole and checked with a schema. */

import type { IncomingMessage } from "node:http";
import type { z } from "zod";

/** What is wrong with a request, in words for its sender. */
export class BadRequest extends Error {
  readonly status: 400 | 413;

  constructor(message: string, status: 400 | 413 = 400) {
    super(message);
    this.status = status;
  }
}

/** Bytes; the largest real request has two short names in it. */
const limit = 16_384;

/** Reads a JSON body, none being `{}`. Throws BadRequest. */
export async function readBody<Schema extends z.ZodType>(request: IncomingMessage, schema: Schema): Promise<z.output<Schema>> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    // Read to the end all the same: leaving early would end the connection before the answer.
    if (size <= limit) chunks.push(chunk);
  }
  if (size > limit) throw new BadRequest(`the body is larger than ${String(limit)} bytes`, 413);
  const text = Buffer.concat(chunks).toString("utf8");
  let value: unknown;
  try {
    value = text.trim() === "" ? {} : JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new BadRequest(`the body is not JSON: ${error.message}`);
  }
  return checked(value, schema);
}

/** A body or a query that the schema takes; throws BadRequest. */
export function checked<Schema extends z.ZodType>(value: unknown, schema: Schema): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new BadRequest(result.error.issues.map(({ path, message }) => [...path.map(String), message].join(": ")).join("; "));
}
