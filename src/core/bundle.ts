/** A bundle: all files of one application at one revision, parsed, with what each unit is made of and needs. */

import type { ApplicationSettings } from "./config.ts";
import type { FloatingImage } from "./images.ts";
import type { UnitKind } from "./kinds.ts";
import type { ApplicationId, Digest, RelativePath, ServiceName, UnitName } from "./names.ts";

/** An entry of a Git tree, below an application's directory. */
export type TreeEntry =
  | { readonly kind: "file"; readonly executable: boolean; readonly content: Uint8Array }
  | { readonly kind: "symlink"; readonly target: string }
  /** A submodule, or a thing that Git can't have but a work tree can. */
  | { readonly kind: "other"; readonly what: string };

/** A file to be placed. */
export interface BundleFile {
  /** Tells the place too (core/placing.ts). */
  readonly path: RelativePath;
  /** 0o644, 0o755 for what Git has as executable, 0o600 for env files. */
  readonly mode: number;
  /** Empty for a sealed file that is recalled, not made now. */
  readonly content: Uint8Array;
  /** Of mode and content. */
  readonly digest: Digest;
  /** Where the content may hold secrets: under this digest it is among the sealed contents, never in the database, a diff or a message. */
  readonly sealed?: Digest;
}

export type { UnitKind } from "./kinds.ts";

/** One thing that a service is made of: when its digest differs, the service restarts, and its name is the reason. */
export interface Input {
  /** A key (`Image=`) of the file `within`, or a whole file. */
  readonly label: string;
  readonly within: string | undefined;
  readonly digest: Digest;
  /** Of an asset that the container sees: mounted alone, as this very file, or with its directory. No part of any digest. */
  readonly mounted?: "alone" | "within";
  /** The reason in whole, where it is not "label changed". */
  readonly says?: string;
}

/** A quadlet of a bundle, or a plain unit. */
export interface Unit {
  /** Of an instance its own, though it may come of its template's file. */
  readonly name: UnitName;
  readonly kind: UnitKind;
  readonly file: RelativePath;
  /** What the generator makes of it (podman-systemd.unit(5)). */
  readonly service: ServiceName;
  /** The Podman object: the container's, network's or volume's name; empty for a plain unit. */
  readonly object: string;
  /** All files that the inputs come from, its own and its drop-ins included. */
  readonly files: readonly RelativePath[];
  /** Own text by key (comments and white space left out), drop-ins, assets, env files: what the service is started from. */
  readonly inputs: readonly Input[];
  /** Of all inputs. */
  readonly digest: Digest;
  /** Other quadlets that it names, in this application or another. */
  readonly uses: readonly UnitName[];
  /** Services and other plain units that it names in After=, Requires= and their like. */
  readonly after: readonly ServiceName[];
  /** The pod that a container is a member of. */
  readonly pod: UnitName | undefined;
  /** Whether pgo starts it: not a template, a plain unit that nothing installs, or a service that a timer, socket or path of the application triggers. */
  readonly starts: boolean;
  /** Whether systemd is to enable it: a plain unit with an `[Install]`; a quadlet's acts at reload by itself. */
  readonly installs: boolean;
  /** A container's image as written; undefined for other kinds, and for an image that is itself a unit. */
  readonly image: string | undefined;
  /** AuthFile= of the container. */
  readonly authFile: string | undefined;
  /** Whether Podman checks its health (HealthCmd= other than "none"). */
  readonly healthCmd: boolean;
  /** Mounts something from its application's own directory: in another application that is another thing. */
  readonly mountsOwn: boolean;
  /** Whether systemd can reload it, and whether its own keys say that it is for changed files (`ReloadCmd=`, `ReloadSignal=`). */
  readonly reload: "default" | "possible" | "never";
  /** Runs and ends (Type=oneshot): not restarted for having ended well. */
  readonly oneshot: boolean;
  /** As its application's pgo.toml says it; no part of the digest. */
  readonly phase?: number | undefined;
}

/** Where a placed file comes from. */
export interface Origin {
  /** As in Git: below the source's root. */
  readonly file: string;
  /** Lines of it that stand before the placed text. */
  readonly linesBefore: number;
  /** Of a template: of each line of the placed text the template's, from 1. */
  readonly lines: readonly number[] | undefined;
}

export interface Bundle {
  readonly application: ApplicationId;
  /** Of every placed file, and of the application's pgo.toml under its name. */
  readonly origins: ReadonlyMap<RelativePath, Origin>;
  readonly files: readonly BundleFile[];
  readonly units: readonly Unit[];
  readonly images: readonly FloatingImage[];
  readonly settings: ApplicationSettings;
  /** Values of the variables that it was rendered with. */
  readonly vars: ReadonlyMap<string, string | undefined>;
  /** Secrets that its env files name and the host doesn't have. */
  readonly missing: readonly Problem[];
  readonly warnings: readonly Problem[];
  /** Of all files, its pgo.toml included: what quarantine goes by. */
  readonly digest: Digest;
}

/** What is wrong with a file, in words that a person can act on. */
export interface Problem {
  /** As in Git: below the source's root. */
  readonly file: string;
  /** From 1; undefined where the whole file is meant. */
  readonly line: number | undefined;
  /** Of the key or name that is meant, from 1, in UTF-16 units; undefined where no more than the line is known. */
  readonly column?: number | undefined;
  readonly message: string;
}
