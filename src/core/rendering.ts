/** What an application's files are rendered with: variables, and env files whose values may be secrets, made now or recalled from before. */

import type { Problem } from "./bundle.ts";
import { readEnvFile, renderForPodman, renderForSystemd, secretNames, type EnvSyntax } from "./env-file.ts";
import { fileDigest } from "./files.ts";
import { digestOf, type ApplicationName, type Digest, type RelativePath } from "./names.ts";
import { plainName } from "./encrypted.ts";
import type { Pin } from "./images.ts";
import { marked, placeFor } from "./placing.ts";
import { success, trouble, type Result } from "./result.ts";
import { mostPodmanSecret } from "./secrets-config.ts";
import type { SelfSite } from "./self-quadlet.ts";
import type { PlacedProblem, Vars } from "./substitute.ts";
import { varsOf, type Facts, type VarsTable } from "./vars-config.ts";

/** Renders a `.liquid` file (core/template.ts, which is loaded only where there is one). `lines`: of each line of the text, from 1, the template's. */
export type TemplateRenderer = (
  text: string,
  vars: Vars,
  file: string,
) => Result<{ readonly text: string; readonly lines: readonly number[] }, readonly Problem[]>;

export interface Rendering {
  /** All declared names, the application's own `[vars]` among them. */
  vars(own: VarsTable): Vars;
  /** Where the application's processed env files lie on the host; absolute. */
  readonly envDirectory: string;
  /** The plain content of a file that is encrypted in Git, by its path there below the application; undefined where it can't be had. */
  decrypted(path: RelativePath): DecryptedFile | undefined;
  /** Why files could not be decrypted. */
  readonly problems: readonly Problem[];
  /** An env file for one reader. */
  env(request: EnvRequest): EnvRendered;
  /** A Podman secret. */
  secret(request: SecretRequest): SecretRendered;
  readonly template: TemplateRenderer | undefined;
  /** By which digest an image is held that a file, as in Git, names. */
  pin?(path: RelativePath, name: string): Pin | undefined;
  /** What pgo's own quadlet is made with; undefined where the application may not bring it. */
  readonly self: SelfSite | undefined;
}

export interface DecryptedFile {
  /** Undefined where it is recalled: it is among the sealed contents. */
  readonly content: Uint8Array | undefined;
  readonly sealed: Digest;
  /** Of mode and content. */
  readonly digest: Digest;
}

export interface EnvRequest {
  /** Below the application, as in Git. */
  readonly path: string;
  readonly text: string;
  /** As in Git, for messages. */
  readonly file: string;
  readonly syntax: EnvSyntax;
  /** The service that reads it; undefined for a file that no unit names. */
  readonly service: string | undefined;
  readonly vars: Vars;
}

export interface EnvRendered {
  /** What is placed: a second one holds what only the service's environment can carry. */
  readonly files: readonly ProcessedFile[];
  readonly problems: readonly Problem[];
  /** References to secrets that are nowhere on the host. */
  readonly missing: readonly Problem[];
  readonly warnings: readonly Problem[];
}

export interface SecretRequest {
  readonly name: string;
  /** A value's name, or the content of a file. */
  readonly from: { readonly env: string } | { readonly content: Uint8Array };
  readonly vars: Vars;
}

export interface SecretRendered {
  /** Undefined where Podman could not take it. */
  readonly file: ProcessedFile | undefined;
  /** Why there is none, in words that fit behind the secret's name. */
  readonly lack: string | undefined;
}

/** A file that may hold secrets. */
export interface ProcessedFile {
  readonly path: RelativePath;
  /** Undefined where it is recalled: it is among the sealed contents. */
  readonly content: Uint8Array | undefined;
  /** Of the content. */
  readonly sealed: Digest;
  /** Of mode and content. */
  readonly digest: Digest;
}

/** env files are read by their owner alone. */
export const processedMode = 0o600;

export interface FreshSources {
  readonly application: ApplicationName;
  readonly facts: Facts;
  readonly hostApplication: VarsTable | undefined;
  readonly host: VarsTable | undefined;
  readonly envDirectory: string;
  readonly secrets: Pick<ReadonlyMap<string, string>, "get">;
  readonly template: TemplateRenderer | undefined;
  readonly decrypted: Decrypted;
  readonly self: SelfSite | undefined;
}

/** The encrypted files of an application in plain, by path. */
export interface Decrypted {
  readonly contents: ReadonlyMap<RelativePath, Uint8Array>;
  readonly problems: readonly Problem[];
}

/** Of an application that has none. */
export const nothingEncrypted: Decrypted = { contents: new Map(), problems: [] };

/** With the values that the host has now. */
export function freshRendering({ application, secrets, envDirectory, template, decrypted, self, ...layers }: FreshSources): Rendering {
  // A variable that pgo.toml sets is meant as it stands there; all other names are secrets.
  const valueFor = (name: string, vars: Vars, service: string | undefined) =>
    vars.get(name) ??
    secretNames(application, service, name)
      .map((one) => secrets.get(one))
      .find((value) => value !== undefined);
  return {
    problems: decrypted.problems,
    decrypted: (path) => {
      const content = decrypted.contents.get(path);
      return content && { content, sealed: digestOf(content), digest: fileDigest(processedMode, content) };
    },
    vars: (own) => varsOf({ ...layers, application: own }),
    envDirectory,
    template,
    self,
    env: ({ path, text, file, syntax, service, vars }) => {
      const lookup = (name: string) => valueFor(name, vars, service);
      const read = readEnvFile(text, file, { syntax, lookup });
      if (!read.ok) return { files: [], problems: read.trouble, missing: [], warnings: [] };
      const { missing, warnings } = read.value;
      const written = syntax === "podman" ? renderForPodman(read.value) : systemd(renderForSystemd(read.value));
      if (!written.ok) return { files: [], problems: written.trouble, missing, warnings };
      const files = [processed(processedPath(path, service), written.value.container)];
      if (written.value.service !== undefined) files.push(processed(processedPath(`${path}.service`, service), written.value.service));
      return { files, problems: [], missing, warnings };
    },
    secret: ({ name, from, vars }) => {
      const value = "env" in from ? valueFor(from.env, vars, undefined) : from.content;
      if (value === undefined) return { file: undefined, lack: `${"env" in from ? from.env : ""} has no value: set it (ctl secret set)` };
      const content = Buffer.from(value);
      const what = "env" in from ? `the value of ${from.env}` : "the file";
      if (content.length === 0) return { file: undefined, lack: `${what} is empty, and Podman takes no empty secrets: give it one` };
      if (content.length > mostPodmanSecret)
        return { file: undefined, lack: `${what} has ${content.length} bytes, and Podman takes ${mostPodmanSecret} at most` };
      return { file: sealedFile(marked("secret", name), content), lack: undefined };
    },
  };
}

/** What was sealed of each processed file, by its place. */
export type SealedFiles = ReadonlyMap<RelativePath, { readonly sealed: Digest; readonly digest: Digest }>;

export interface Recalled {
  readonly vars: Vars;
  readonly sealed: SealedFiles;
  readonly envDirectory: string;
  readonly template: TemplateRenderer | undefined;
  /** References by file. */
  readonly pins: ReadonlyMap<RelativePath, string>;
  readonly self: SelfSite | undefined;
}

/** With the values of a bundle that was saved: no secret is looked up again. */
export function recalledRendering({ vars, sealed, envDirectory, template, pins, self }: Recalled): Rendering {
  return {
    pin: (path) => {
      const reference = pins.get(path);
      return reference === undefined ? undefined : { reference, why: "kept" };
    },
    vars: () => vars,
    envDirectory,
    template,
    self,
    problems: [],
    decrypted: (path) => {
      const known = sealed.get(placeFor(plainName(path, path.endsWith(".age") ? "age" : "sops") as RelativePath));
      // An env file is not placed itself: what came of it is sealed.
      return { content: undefined, ...(known ?? { sealed: digestOf(""), digest: digestOf("") }) };
    },
    env: ({ path, service }) => {
      const files = [processedPath(path, service), processedPath(`${path}.service`, service)].flatMap((placed): ProcessedFile[] => {
        const known = sealed.get(placed);
        return known === undefined ? [] : [{ path: placed, content: undefined, ...known }];
      });
      return { files, problems: [], missing: [], warnings: [] };
    },
    secret: ({ name }) => {
      const path = marked("secret", name);
      const known = sealed.get(path);
      return { file: known && { path, content: undefined, ...known }, lack: undefined };
    },
  };
}

/** Each service has its own copy, since a secret's name may be for that service alone. */
function processedPath(path: string, service: string | undefined): RelativePath {
  return marked("env", service === undefined ? path : `${service}/${path}`);
}

function processed(path: RelativePath, text: string): ProcessedFile {
  return sealedFile(path, Buffer.from(text));
}

function sealedFile(path: RelativePath, content: Uint8Array): ProcessedFile {
  return { path, content, sealed: digestOf(content), digest: fileDigest(processedMode, content) };
}

function systemd(written: Result<string, readonly Problem[]>): ReturnType<typeof renderForPodman> {
  return written.ok ? success({ container: written.value, service: undefined }) : written;
}

/** Problems of substitution where a text begins further down in its file. */
export function moved(problems: readonly PlacedProblem[], linesBefore: number): readonly Problem[] {
  return problems.map((problem) => ({ ...problem, line: problem.line === undefined ? undefined : problem.line + linesBefore }));
}

/** What only says which names are missing, without any value. */
export const noTemplates: TemplateRenderer = (_text, _vars, file) =>
  trouble([{ file, line: undefined, message: "is a template, and templates are not loaded" }]);
