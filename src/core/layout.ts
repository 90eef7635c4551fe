/** Which applications a source's files make: first-level directories of its paths that hold a unit, and what lies at the top. */

import ignore from "ignore";

import type { Problem, TreeEntry } from "./bundle.ts";
import { isQuadlet, kindOf, templateOutput } from "./kinds.ts";
import { followLinks } from "./links.ts";
import {
  NameError,
  applicationId,
  applicationName,
  relativePath,
  type ApplicationId,
  type Digest,
  type RelativePath,
  type SourceName,
} from "./names.ts";

/** A file of an application, and where Git has it. */
export interface Located {
  readonly entry: TreeEntry;
  /** Below the repository's root. */
  readonly origin: string;
  /** How many lines of the origin stand before this text, where it is a part of it. */
  readonly linesBefore?: number;
  /** Of a file that is encrypted in Git: its plain content is not for the database. */
  readonly secret?: { readonly sealed: Digest; readonly digest: Digest };
  /** Of a rendered template: of each line of the text the template's, both from 1. */
  readonly lines?: readonly number[];
}

/** The files of one application, not yet looked at. */
export interface Draft {
  readonly application: ApplicationId;
  readonly files: ReadonlyMap<RelativePath, Located>;
  /** What already speaks against it, such as a name that can't be a directory's. */
  readonly problems: readonly Problem[];
}

/**
 * Groups a source's files into applications. `paths` are directories below the repository's root, "." for the root itself;
 * a later one overlays an earlier one by application and relative path.
 * A directory below a path is an application when it holds at least one unit at any depth. Units at the top of a path form
 * the application named after the source; it also gets the directories beside them that hold no unit and that one of those
 * units names (`Volume=./conf:…`), and their drop-in directories. Drop-ins of all units of a kind at the top of a path (`container.d/`)
 * are every application's. What a `.pgoignore` names is left out, and so are units in directories for documentation and examples.
 */
export function layout(source: SourceName, paths: readonly string[], tree: ReadonlyMap<string, TreeEntry>): readonly Draft[] {
  const entries = wantedOf(followLinks(tree));
  const drafts = new Map<string, { files: Map<RelativePath, Located>; problems: Problem[] }>();
  const draftOf = (name: string) => {
    const existing = drafts.get(name);
    if (existing !== undefined) return existing;
    const made = { files: new Map<RelativePath, Located>(), problems: [] };
    drafts.set(name, made);
    return made;
  };
  const add = (name: string, path: string, located: Located) => {
    const draft = draftOf(name);
    try {
      draft.files.set(relativePath(path), located);
    } catch (error) {
      if (!(error instanceof NameError)) throw error;
      draft.problems.push({ file: located.origin, line: undefined, message: error.message });
    }
  };
  const general: (() => void)[] = [];
  const places = paths.map((path) => new Map([...entriesBelow(path, entries)].filter(([file]) => !isSample(file))));
  // Of all paths together: an overlay may hold no more than a drop-in or an env file.
  const units = places.flatMap((below) => [...below].filter(([file]) => isUnitFile(file)));
  const applications = new Set(units.filter(([file]) => file.includes("/")).map(([file]) => first(file)));
  const top = units.filter(([file]) => !file.includes("/"));
  const topTexts = top.map(([, { entry }]) => textOf(entry));
  const owners = [...applications, ...(top.length > 0 ? [source] : [])];
  for (const [file, located] of places.flatMap((below) => [...below])) {
    // An `.env` beside the units at the top is theirs, as long as one of them says so.
    if (file.startsWith(".") && (file.includes("/") || !topTexts.some((text) => namesFile(text, file)))) continue;
    const directory = first(file);
    if (file.includes("/") && applications.has(directory)) add(directory, file.slice(directory.length + 1), located);
    else if (isForAll(file) && file.split("/").length === 2)
      general.push(() => {
        for (const name of owners) if (draftOf(name).files.get(file as RelativePath) === undefined) add(name, file, located);
      });
    else if (top.length > 0 && (!file.includes("/") || dropInOwner(file) !== undefined || topTexts.some((text) => names(text, directory))))
      add(source, file, located);
  }
  // Last, so that an application's own file of that name is the one that counts; of two paths' the later.
  for (const addGeneral of general.toReversed()) addGeneral();
  const [stray] = applications.has(source) ? top : [];
  if (stray !== undefined)
    draftOf(source).problems.push({
      file: stray[1].origin,
      line: undefined,
      message: `units at the top form the application "${source}", and so does the directory ${source}/: move them into a directory of their own, or name the source otherwise`,
    });
  return [...drafts].flatMap(([name, { files, problems }]) => {
    try {
      return [{ application: applicationId(source, applicationName(name)), files, problems }];
    } catch (error) {
      if (!(error instanceof NameError)) throw error;
      // A directory whose name can't be an application's still must not vanish silently.
      const stand = applicationName(
        name
          .replace(/[^A-Za-z0-9_.-]/g, "_")
          .replace(/^[.-]+/, "_")
          .slice(0, 63) || "_",
      );
      return [
        {
          application: applicationId(source, stand),
          files,
          problems: [...problems, { file: name, line: undefined, message: `${error.message}: rename the directory` }],
        },
      ];
    }
  });
}

/** A unit's own file, quadlet or plain, or a template of one. A `conf.d/site.conf` is an asset like others. */
export function isUnitFile(file: string): boolean {
  const path = templateOutput(file) ?? file;
  return (isQuadlet(path) || kindOf(path) !== undefined) && !isDropIn(path);
}

/** `web.container.d/10-env.conf`: part of a unit, not one. */
export function isDropIn(path: string): boolean {
  return path.endsWith(".conf") && dropInOwner(path) !== undefined;
}

/** Whether the generator or systemd would read it. */
export function isUnitText(path: string): boolean {
  return isUnitFile(path) || isDropIn(path);
}

/** `web.container` for a path in `web.container.d/`, `container` for one in `container.d/`; undefined for any other. */
export function dropInOwner(path: string): string | undefined {
  const owner = /^(.+)\.d$/.exec(path.split("/").at(-2) ?? "")?.[1];
  return owner !== undefined && kindOf(`x.${owner}`) !== undefined ? owner : undefined;
}

/** A drop-in of all units of a kind. */
function isForAll(path: string): boolean {
  return isDropIn(path) && dropInOwner(path)?.includes(".") === false;
}

/** The generator looks into subdirectories: a `docs/sample.container` would go live. */
const forReading = /^(?:docs?|documentation|examples?|samples?)$/i;

/** Without what a `.pgoignore` names (gitignore(5), for the directory that it is in and below). */
function wantedOf(entries: ReadonlyMap<string, TreeEntry>): ReadonlyMap<string, TreeEntry> {
  const rules = [...entries].flatMap(([path, entry]) => {
    if (path !== ".pgoignore" && !path.endsWith("/.pgoignore")) return [];
    return [{ below: path.slice(0, -".pgoignore".length), ignored: ignore().add(textOf(entry)) }];
  });
  const isIgnored = (path: string) =>
    rules.some(({ below, ignored }) => path.startsWith(below) && path !== below && ignored.ignores(path.slice(below.length)));
  return new Map([...entries].filter(([path]) => !isIgnored(path)));
}

/** A unit in a directory for documentation or examples. */
function isSample(path: string): boolean {
  return (
    isUnitText(path) &&
    path
      .split("/")
      .slice(0, -1)
      .some((part) => forReading.test(part))
  );
}

function entriesBelow(path: string, entries: ReadonlyMap<string, TreeEntry>): ReadonlyMap<string, Located> {
  const root = path.replace(/^(?:\.\/)+/, "").replace(/\/+$/, "");
  const prefix = root === "" || root === "." ? "" : `${root}/`;
  const found = new Map<string, Located>();
  for (const [origin, entry] of entries) if (origin.startsWith(prefix)) found.set(origin.slice(prefix.length), { entry, origin });
  return found;
}

/** `Volume=./conf:/etc/web`, `Mount=type=bind,source=./conf,…`, `EnvironmentFile=-env/web.env`. */
function names(text: string, directory: string): boolean {
  return [`./${directory}/`, `./${directory}:`, `./${directory},`, `=${directory}/`, `=-${directory}/`].some((form) => text.includes(form));
}

/** `EnvironmentFile=.env`, `Volume=./.htpasswd:/…`, `EnvironmentFile=%h/.config/containers/systemd/.env`. */
function namesFile(text: string, file: string): boolean {
  return [`=${file}`, `=-${file}`, `./${file}`, `/systemd/${file}`].some((form) => text.includes(form));
}

function textOf(entry: TreeEntry | undefined): string {
  return entry?.kind === "file" ? Buffer.from(entry.content).toString("utf8") : "";
}

function first(path: string): string {
  return path.split("/", 1)[0] ?? "";
}
