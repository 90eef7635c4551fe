/** A bundle: all files of one application at one revision, parsed, with what each unit is made of and needs. */

import type { ApplicationSettings } from "./config.ts";
import type { ApplicationId, Digest, RelativePath, ServiceName, UnitName } from "./names.ts";

/** An entry of a Git tree, below an application's directory. */
export type TreeEntry =
  | { readonly kind: "file"; readonly executable: boolean; readonly content: Uint8Array }
  | { readonly kind: "symlink"; readonly target: string }
  /** A submodule, or a thing that Git can't have but a work tree can. */
  | { readonly kind: "other"; readonly what: string };

/** A file to be placed. */
export interface BundleFile {
  readonly path: RelativePath;
  /** 0o644, 0o755 for what Git has as executable, 0o600 for env files. */
  readonly mode: number;
  readonly content: Uint8Array;
  /** Of mode and content. */
  readonly digest: Digest;
}

export type UnitKind = "container" | "network" | "volume";

/** One thing that a service is made of: when its digest differs, the service restarts, and its name is the reason. */
export interface Input {
  /** A key (`Image=`) of the file `within`, or a whole file. */
  readonly label: string;
  readonly within: string | undefined;
  readonly digest: Digest;
}

/** A quadlet of a bundle. */
export interface Unit {
  readonly name: UnitName;
  readonly kind: UnitKind;
  readonly file: RelativePath;
  /** What the generator makes of it (podman-systemd.unit(5)). */
  readonly service: ServiceName;
  /** The Podman object: the container's, network's or volume's name. */
  readonly object: string;
  /** All files that the inputs come from, its own and its drop-ins included. */
  readonly files: readonly RelativePath[];
  /** Own text by key (comments and white space left out), drop-ins, assets, env files: what the service is started from. */
  readonly inputs: readonly Input[];
  /** Of all inputs. */
  readonly digest: Digest;
  /** Other quadlets that it names, in this application or another. */
  readonly uses: readonly UnitName[];
  /** Services that it names in After=, Requires= and their like, quadlet names translated. */
  readonly after: readonly ServiceName[];
  /** A container's image as written; undefined for other kinds, and for an image that is itself a unit. */
  readonly image: string | undefined;
  /** AuthFile= of the container. */
  readonly authFile: string | undefined;
  /** Whether Podman checks its health (HealthCmd= other than "none"). */
  readonly healthCmd: boolean;
  /** Runs and ends (Type=oneshot): not restarted for having ended well. */
  readonly oneshot: boolean;
}

export interface Bundle {
  readonly application: ApplicationId;
  readonly files: readonly BundleFile[];
  readonly units: readonly Unit[];
  readonly settings: ApplicationSettings;
  /** Of all files, its pgo.toml included: what quarantine goes by. */
  readonly digest: Digest;
}

/** What is wrong with a file, in words that a person can act on. */
export interface Problem {
  /** As in Git: below the source's root. */
  readonly file: string;
  /** From 1; undefined where the whole file is meant. */
  readonly line: number | undefined;
  readonly message: string;
}
