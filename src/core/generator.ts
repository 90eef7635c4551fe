/** What the output of Podman's quadlet generator says of each file. */

import type { ServiceName } from "./names.ts";

/** One message about one file. */
export interface Finding {
  /** The file's path as printed, or its base name alone: conversion errors name no more. */
  readonly file: string;
  readonly line: number | undefined;
  readonly message: string;
  /** An error means that this file's unit, or all of its directory's, would be missing. */
  readonly severity: "error" | "warning";
}

export interface GeneratorReport {
  readonly findings: readonly Finding[];
  /** The services that would come of it. */
  readonly services: ReadonlySet<ServiceName>;
  /** Of each service the quadlets that it would come of, by their paths as printed. */
  readonly sources: ReadonlyMap<ServiceName, readonly string[]>;
  /** Of each service the unit that systemd would read; of several, the first. */
  readonly texts: ReadonlyMap<ServiceName, string>;
  /** Lines that fit no known form, for the log: a newer Podman may word things otherwise. */
  readonly unread: readonly string[];
}

/**
 * Reads a dry run's output. The exit code differs between versions and says nothing (tried on Podman 5.4 and 5.8).
 * On 5.4 errors after the first come without the program's name before them.
 */
export function readGenerator(stdout: string, stderr: string): GeneratorReport {
  const findings: Finding[] = [];
  const unread: string[] = [];
  for (const raw of stderr.split("\n")) {
    const line = raw.replace(/^\S*quadlet-generator\[\d+\]: /, "").trim();
    if (line === "" || /^(?:Loading source (?:unit|drop-in) file |processing encountered some errors)/.test(line)) continue;
    const finding = loading(line) ?? converting(line) ?? warning(line);
    if (finding === undefined) unread.push(line);
    else findings.push(finding);
  }
  const units = unitsIn(stdout);
  const sources = new Map<ServiceName, readonly string[]>();
  const texts = new Map<ServiceName, string>();
  for (const { service, text } of units) {
    if (!texts.has(service)) texts.set(service, text);
    const source = /^SourcePath=(.*)$/m.exec(text)?.[1];
    if (source !== undefined) sources.set(service, [...(sources.get(service) ?? []), source]);
  }
  return { findings, services: new Set(units.map(({ service }) => service)), sources, texts, unread };
}

/** The units that a dry run prints, in its order. */
export function unitsIn(stdout: string): readonly { readonly service: ServiceName; readonly text: string }[] {
  return [...stdout.matchAll(/^---(\S+)---$([^]*?)(?=^---\S+---$|(?![^]))/gm)].map(([, name, text]) => ({
    service: name as ServiceName,
    text: text ?? "",
  }));
}

/** Whether it is about another unit that is not there, which may be so only because a fault elsewhere hides it. */
export function isLack({ message }: Finding): boolean {
  return /^requested Quadlet \w+ \S+ was not found|^quadlet pod unit \S+ does not exist|^cannot get the resource name of |^unable to translate dependency for /.test(
    message,
  );
}

function loading(line: string): Finding | undefined {
  const match = /^error loading "([^"]+)", (.*)$/.exec(line);
  if (match === null) return undefined;
  const [, file = "", rest = ""] = match;
  const at = /^file contains line (\d+): (.*)$/.exec(rest);
  return { file, line: at === null ? undefined : Number(at[1]), message: at?.[2] ?? rest, severity: "error" };
}

function converting(line: string): Finding | undefined {
  const match = /^converting "([^"]+)": (.*)$/.exec(line);
  if (match === null) return undefined;
  const [, file = "", rest = ""] = match;
  // The path at the end is that of the staging copy; the file is named already.
  return { file, line: undefined, message: rest.replace(/ in \/\S+$/, ""), severity: "error" };
}

function warning(line: string): Finding | undefined {
  const match = /^Warning: (\S+\.\w+) (.*)$/i.exec(line);
  return match === null ? undefined : { file: match[1] ?? "", line: undefined, message: match[2] ?? "", severity: "warning" };
}
