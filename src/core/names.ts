/** The names that everything else is made of, each with a type of its own so that one can't stand in for another. */

import { createHash } from "node:crypto";

declare const brand: unique symbol;
type Named<Kind extends string> = string & { readonly [brand]: Kind };

/** A Git repository with a ref and paths, as pgo.toml names it. */
export type SourceName = Named<"source">;
/** A directory of a source, the unit of rollout: unique within its source. */
export type ApplicationName = Named<"application">;
/** `source/application`: unique on the host; also the application's directory below the quadlet directory. */
export type ApplicationId = Named<"application id">;
/** A unit of systemd by its full name, such as `web.service`. */
export type ServiceName = Named<"service">;
/** A quadlet by its file's base name, such as `web.container`: unique on the host. */
export type UnitName = Named<"unit">;
/** A commit by its full hash, 40 or 64 hex digits. */
export type Revision = Named<"revision">;
/** A SHA-256 in hex. */
export type Digest = Named<"digest">;
/** A file's path below its application's directory: `/` between parts, no `.`, no `..`, not absolute. */
export type RelativePath = Named<"path">;

/** What went wrong with a name, in words that fit behind the name. */
export class NameError extends Error {}

/** A source's name becomes a directory: letters, digits, `.`, `_`, `-`, not starting with a dot, at most 63 long. */
export function sourceName(text: string): SourceName {
  return directoryName(text, "a source name") as SourceName;
}

/** The same rules as a source's name. */
export function applicationName(text: string): ApplicationName {
  return directoryName(text, "an application name") as ApplicationName;
}

export function applicationId(source: SourceName, application: ApplicationName): ApplicationId {
  return `${source}/${application}` as ApplicationId;
}

/** Takes an id apart; ids are only made by `applicationId`, so this can't fail. */
export function partsOf(id: ApplicationId): { readonly source: SourceName; readonly application: ApplicationName } {
  const slash = id.indexOf("/");
  return { source: id.slice(0, slash) as SourceName, application: id.slice(slash + 1) as ApplicationName };
}

/** A commit's full hash, as `git ls-remote` prints it. */
export function revision(text: string): Revision {
  if (!/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text)) throw new NameError(`"${text}" is not a full commit hash`);
  return text as Revision;
}

/** The first seven digits, for people. */
export function short(revision: Revision): string {
  return revision.slice(0, 7);
}

/** A path inside an application; refuses what could leave the application's directory. */
export function relativePath(text: string): RelativePath {
  const parts = text.split("/");
  if (text === "" || parts.some((part) => part === "" || part === "." || part === "..") || text.includes("\0"))
    throw new NameError(`"${text}" is not a path inside the application`);
  return text as RelativePath;
}

/** systemd.unit(5): at most 255 characters of letters, digits and `:-_.\`, an `@` for templates, then a known suffix. */
export function unitName(text: string): UnitName {
  if (!/^[A-Za-z0-9:_.\\-]+(?:@[A-Za-z0-9:_.\\-]*)?\.[a-z]+$/.test(text) || text.length > 255)
    throw new NameError(`"${text}" is not a name that systemd takes`);
  return text as UnitName;
}

/** The same rules as a unit's name. */
export function serviceName(text: string): ServiceName {
  return unitName(text) as string as ServiceName;
}

/** SHA-256 over parts, each with its length before it, so that no two lists of parts give the same digest by accident. */
export function digestOf(...parts: readonly (string | Uint8Array)[]): Digest {
  const hash = createHash("sha256");
  for (const part of parts) {
    const bytes = typeof part === "string" ? Buffer.from(part) : part;
    hash.update(`${String(bytes.length)}:`).update(bytes);
  }
  return hash.digest("hex") as Digest;
}

function directoryName(text: string, what: string): string {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$/.test(text))
    throw new NameError(`"${text}" is not ${what}: letters, digits, ".", "_" and "-" are, 63 at most, not starting with "." or "-"`);
  return text;
}
