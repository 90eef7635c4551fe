/** Reads rows of the state database exactly: an older or newer pgo may have written them, so each value is checked, never assumed. */

import { inspect } from "node:util";

import { applicationId, applicationName, partsOf, sourceName, type ApplicationId, type Digest } from "../../core/names.ts";

export type Row = Readonly<Record<string, unknown>>;

export function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== "string") throw unexpected(value, column);
  return value;
}

export function number(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== "number") throw unexpected(value, column);
  return value;
}

export function blob(row: Row, column: string): Uint8Array {
  const value = row[column];
  if (!(value instanceof Uint8Array)) throw unexpected(value, column);
  return value;
}

/** Times are ISO 8601 in UTC, to the millisecond: as text they sort as they do as times. */
export function date(row: Row, column: string): Date {
  const value = text(row, column);
  const time = new Date(value);
  if (Number.isNaN(time.getTime())) throw unexpected(value, column);
  return time;
}

export function digest(row: Row, column: string): Digest {
  return digestIn(text(row, column), column);
}

export function digestIn(value: string, column: string): Digest {
  if (!/^[0-9a-f]{64}$/.test(value)) throw unexpected(value, column);
  return value as Digest;
}

export function application(row: Row, column: string): ApplicationId {
  const { source, application: name } = partsOf(text(row, column) as ApplicationId);
  return applicationId(sourceName(source), applicationName(name));
}

export function oneOf<Word extends string>(row: Row, column: string, words: readonly Word[]): Word {
  const value = text(row, column);
  const word = words.find((each) => each === value);
  if (word === undefined) throw unexpected(value, column);
  return word;
}

/** Undefined for NULL, else what `read` makes of it. */
export function optional<Value>(row: Row, column: string, read: (row: Row, column: string) => Value): Value | undefined {
  return row[column] === null ? undefined : read(row, column);
}

export function unexpected(value: unknown, column: string): Error {
  return new Error(
    `the state database holds ${inspect(value)} in the column "${column}", which this version of pgo can't read: was a newer one running?`,
  );
}
