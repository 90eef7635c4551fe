/** What bundles are rendered with at this moment: the host's facts and secrets, and whether these have changed since a source was dealt with. */

import type { Config, Source } from "../core/config.ts";
import type { Problem } from "../core/bundle.ts";
import { encryptionOf } from "../core/encrypted.ts";
import type { Draft } from "../core/layout.ts";
import { partsOf, type ApplicationId, type Digest, type RelativePath, type SourceName } from "../core/names.ts";
import { lists, policyOf } from "../core/policy-config.ts";
import { freshRendering, nothingEncrypted, type Decrypted, type Rendering, type TemplateRenderer } from "../core/rendering.ts";
import { success, trouble, type Result } from "../core/result.ts";
import type { SelfSite } from "../core/self-quadlet.ts";
import { substituteName } from "../core/substitute.ts";
import { varsOf, type Facts } from "../core/vars-config.ts";
import type { Decrypter, GitTrouble, HostFacts, Podman, Secrets } from "../ports.ts";

/** For one judgement. */
export interface Moment {
  rendering(application: ApplicationId): Rendering;
  /** Whether the host has a secret of this name; what the policy keeps from whom is not asked. */
  has(secret: string): boolean;
  /** What could not be read: a secret that is not among the values may still be there. */
  readonly unreadable: readonly Problem[];
  /** To be noted when the judgement has been dealt with. */
  readonly fingerprint: Digest;
}

export interface RenderingSources {
  readonly secrets: Secrets;
  readonly podman: Podman;
  readonly decrypter: Decrypter;
  readonly mode: "rootful" | "rootless";
  readonly config: Config;
  /** What pgo's own quadlet is made with. */
  readonly self: SelfSite;
}

interface RenderingNeeds {
  readonly drafts: readonly Draft[];
  readonly template: TemplateRenderer | undefined;
  readonly envDirectory: (id: ApplicationId) => string;
}

export class Renderings {
  readonly #sources: RenderingSources;
  #host: HostFacts | undefined;
  /** Of the secrets that a source's applications were last rendered with. */
  readonly #dealt = new Map<SourceName, Digest>();

  constructor(sources: RenderingSources) {
    this.#sources = sources;
  }

  /** Throws where Podman or systemd, which are asked, can't be reached. */
  async now({ drafts, template, envDirectory }: RenderingNeeds, signal: AbortSignal): Promise<Moment> {
    const { config, secrets } = this.#sources;
    const decrypted = new Map<ApplicationId, Decrypted>();
    for (const draft of drafts) decrypted.set(draft.application, await this.#decrypt(draft, signal));
    const [host, { values, problems, fingerprint }] = [await this.#about(signal), await secrets.snapshot(signal)];
    return {
      unreadable: problems,
      fingerprint,
      has: (secret) => values.has(secret),
      rendering: (id) => {
        const { source, application } = partsOf(id);
        return freshRendering({
          application,
          facts: this.#facts(host, { source, application }),
          hostApplication: config.applications.get(application)?.vars,
          host: config.vars,
          envDirectory: envDirectory(id),
          // What a policy keeps from an application is not there for it.
          secrets: { get: (name) => (lists(policyOf(config.policy, id).rules.secrets, name) ? values.get(name) : undefined) },
          template,
          decrypted: decrypted.get(id) ?? nothingEncrypted,
          self: source === config.self.source ? this.#sources.self : undefined,
        });
      },
    };
  }

  /** A source with the variables of its paths filled in; the trouble is a person's to mend. */
  async placed(source: Source, signal: AbortSignal): Promise<Result<Source, GitTrouble>> {
    if (!source.paths.some((path) => path.includes("$"))) return success(source);
    const facts = this.#facts(await this.#about(signal), { source: source.name, application: "" });
    const vars = varsOf({ facts: { ...facts, PGO_APPLICATION: undefined }, host: this.#sources.config.vars });
    const paths: string[] = [];
    for (const path of source.paths) {
      const filled = substituteName(path, vars);
      if (!filled.ok) return trouble({ reason: `path "${path}" in pgo.toml: ${filled.trouble}`, transient: false });
      paths.push(filled.value);
    }
    return success({ ...source, paths });
  }

  /** Whether a secret may have changed since this source was dealt with, at the cost of a few stats. */
  async isStale(source: SourceName, signal: AbortSignal): Promise<boolean> {
    return this.#dealt.get(source) !== (await this.#sources.secrets.fingerprint(signal));
  }

  dealtWith(source: SourceName, { fingerprint }: Pick<Moment, "fingerprint">): void {
    this.#dealt.set(source, fingerprint);
  }

  async #decrypt({ files }: Draft, signal: AbortSignal): Promise<Decrypted> {
    const contents = new Map<RelativePath, Uint8Array>();
    const problems: Problem[] = [];
    for (const [path, { entry, origin }] of files) {
      if (entry.kind !== "file" || encryptionOf(path, entry.content) === undefined) continue;
      const plain = await this.#sources.decrypter.decrypt({ path, content: entry.content }, signal);
      if (plain.ok) contents.set(path, plain.value);
      else problems.push({ file: origin, line: undefined, message: plain.trouble });
    }
    return { contents, problems };
  }

  /** Podman's word for the host's, since pgo's container has an os-release of its own. They stay while pgo runs. */
  async #about(signal: AbortSignal): Promise<HostFacts> {
    this.#host ??= await this.#sources.podman.about(signal);
    return this.#host;
  }

  #facts(host: HostFacts, own: { readonly source: string; readonly application: string }): Facts {
    return {
      PGO_HOSTNAME: host.hostname,
      PGO_ARCH: host.arch,
      PGO_OS: host.os,
      PGO_OS_VERSION: host.osVersion,
      PGO_PODMAN_VERSION: host.podman,
      PGO_MODE: this.#sources.mode,
      PGO_SOURCE: own.source,
      PGO_APPLICATION: own.application,
    };
  }
}
