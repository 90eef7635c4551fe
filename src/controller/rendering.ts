/** What bundles are rendered with at this moment: the host's facts and secrets, and whether these have changed since a source was dealt with. */

import type { Config } from "../core/config.ts";
import type { Problem } from "../core/bundle.ts";
import { partsOf, type ApplicationId, type Digest, type SourceName } from "../core/names.ts";
import { lists, policyOf } from "../core/policy-config.ts";
import { freshRendering, type Rendering, type TemplateRenderer } from "../core/rendering.ts";
import type { Facts } from "../core/vars-config.ts";
import type { HostFacts, Podman, Secrets } from "../ports.ts";

/** For one judgement. */
export interface Moment {
  rendering(application: ApplicationId): Rendering;
  /** What could not be read: a secret that is not among the values may still be there. */
  readonly unreadable: readonly Problem[];
  /** To be noted when the judgement has been dealt with. */
  readonly fingerprint: Digest;
}

export interface RenderingSources {
  readonly secrets: Secrets;
  readonly podman: Podman;
  readonly mode: "rootful" | "rootless";
  readonly config: Config;
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
  async now(
    { template, envDirectory }: { readonly template: TemplateRenderer | undefined; readonly envDirectory: (id: ApplicationId) => string },
    signal: AbortSignal,
  ): Promise<Moment> {
    const { config, secrets } = this.#sources;
    const [host, { values, problems, fingerprint }] = [await this.#about(signal), await secrets.snapshot(signal)];
    return {
      unreadable: problems,
      fingerprint,
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
        });
      },
    };
  }

  /** Whether a secret may have changed since this source was dealt with, at the cost of a few stats. */
  async isStale(source: SourceName, signal: AbortSignal): Promise<boolean> {
    return this.#dealt.get(source) !== (await this.#sources.secrets.fingerprint(signal));
  }

  dealtWith(source: SourceName, { fingerprint }: Pick<Moment, "fingerprint">): void {
    this.#dealt.set(source, fingerprint);
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
