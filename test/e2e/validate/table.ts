/** Files of all kinds, valid and not, with the verdict of Podman's generator: what `pgo validate` must agree with. */

import { containers } from "./containers.ts";
import { others } from "./others.ts";
import { references } from "./references.ts";
import { syntax } from "./syntax.ts";

export interface Case {
  /** Also the application's directory, and the base name of its files. */
  readonly name: string;
  readonly what: string;
  /** By path below the application. */
  readonly files: Readonly<Record<string, Content>>;
  /** How many services come of it where it is valid. */
  readonly services: number;
  /** Of the generator alone, over these files alone. */
  readonly verdict: Verdict;
  /** Part of what is said of it. */
  readonly says: string | undefined;
  /** The Podman that first takes it; before, it is invalid. */
  readonly since: string | undefined;
  /** Where pgo means to judge otherwise than the generator. */
  readonly pgo: Verdict | undefined;
}

export type Verdict = "valid" | "invalid";
export type Content = string | { readonly symlink: string };

/** A line of a table: the text, or with more about it. NAME stands for the case's name. */
export type Line = string | Written;
export interface Written {
  /** What is below the section's head and the usual keys. */
  readonly text?: string;
  /** Instead: whole files by path. */
  readonly files?: Readonly<Record<string, Content>>;
  readonly says?: string;
  readonly since?: string;
  readonly pgo?: Verdict;
}

/** A table: its lines by "valid …" or "invalid …", each a word on what it is about. `usual`: keys without which nothing of the kind is valid. */
export interface Table {
  readonly kind: string;
  readonly usual: string;
  readonly lines: Readonly<Record<string, Line>>;
}

/** All cases, each with names of its own, so that they can be one revision of many applications. */
export function allCases(): readonly Case[] {
  const tables = [...containers, ...references, ...others, ...syntax];
  return tables.flatMap(({ kind, usual, lines }, table) =>
    Object.entries(lines).map(([title, line], at) => caseOf(kind, usual, [title, line, `t${table}-${at}`])),
  );
}

function caseOf(kind: string, usual: string, [title, line, name]: readonly [title: string, line: Line, name: string]): Case {
  const [verdict = "", ...words] = title.split(" ");
  if (verdict !== "valid" && verdict !== "invalid") throw new Error(`"${title}" says neither valid nor invalid`);
  const { text = "", files, says, since, pgo } = typeof line === "string" ? { text: line } : line;
  const section = `[${kind.slice(0, 1).toUpperCase()}${kind.slice(1)}]`;
  const written: Readonly<Record<string, Content>> = files ?? {
    [`NAME.${kind}`]: `${section}\n${usual === "" ? "" : `${usual}\n`}${text}\n`,
  };
  const call = (text: string) => text.replaceAll("NAME", name);
  const named = Object.entries(written).map(([path, content]): [string, Content] => [
    call(path),
    typeof content === "string" ? call(content) : { symlink: call(content.symlink) },
  ]);
  const services = named.reduce((sum, [path, content]) => sum + servicesOf(path, content), 0);
  return {
    name,
    what: `${verdict} ${kind}: ${words.join(" ")}`,
    files: Object.fromEntries(named),
    services,
    verdict,
    says: says === undefined ? undefined : call(says),
    since,
    pgo,
  };
}

function servicesOf(path: string, content: Content): number {
  if (path.endsWith(".quadlets")) return typeof content === "string" ? content.split("FileName=").length - 1 : 0;
  return /\.(?:container|pod|volume|network|kube|image|build|artifact)$/.test(path) ? 1 : 0;
}
