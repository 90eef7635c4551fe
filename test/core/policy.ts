/** What policy tests are made of: an application from its files' texts, and a policy from the text of a pgo.toml. */

import { applicationId, applicationName, sourceName } from "../../src/core/names.ts";
import { policyOf, policySettings, type Policy } from "../../src/core/policy-config.ts";
import { violations, type PolicyUnit, type Subject, type Violation } from "../../src/core/policy.ts";
import { isQuadletKind, kindOf, plainKinds } from "../../src/core/kinds.ts";
import { readToml } from "../../src/core/toml.ts";

export const guest = applicationId(sourceName("guest"), applicationName("shop"));

/** From the lines of `[policy]`. */
export function policy(toml = "", application = guest): Policy {
  const read = readToml(toml, "pgo.toml", policySettings);
  if (!read.ok) throw new Error(JSON.stringify(read.trouble));
  return policyOf(read.value, application);
}

export const open = policy();
export const contained = policy('preset = "contained"');

/** Files as they lie below the application's directory, which is shop/ in Git. */
export function subject(files: Readonly<Record<string, string>>, self = false): Subject {
  const entries = Object.entries(files);
  const located = entries.map(([path]) => ({ path, file: `shop/${path}` }));
  const isPlain = (path: string) => plainKinds.some((suffix) => path.endsWith(`.${suffix}`) || path.includes(`.${suffix}.d/`));
  const units = entries.flatMap(([path]): readonly PolicyUnit[] => {
    const suffix = kindOf(path);
    if (suffix === undefined || !isQuadletKind(suffix)) return [];
    const name = path.slice(path.lastIndexOf("/") + 1);
    const texts = entries.filter(([other]) => other === path || other.split("/").at(-2) === `${name}.d`);
    return [{ name, suffix, path, texts: texts.map(([file, text]) => ({ file: `shop/${file}`, text })) }];
  });
  return { application: guest, units, files: located, plainUnits: located.filter(({ path }) => isPlain(path)), self };
}

/** The rule and the place of each violation: `podman_args shop/web.container:3`. */
export function broken(files: Readonly<Record<string, string>>, by: Policy): readonly string[] {
  return violations(subject(files), by).map(place);
}

export function place({ rule, file, line }: Violation): string {
  return `${rule} ${file}${line === undefined ? "" : `:${String(line)}`}`;
}
