/** The pgo.toml that `pgo config init` and the bootstrap write: what is decided, and the rest as comments with their defaults. */

import type { Directories } from "./config.ts";

export interface TemplateSource {
  readonly name?: string | undefined;
  readonly url: string;
  readonly branch?: string | undefined;
  readonly paths?: readonly string[] | undefined;
  readonly sshKey?: string | undefined;
  readonly knownHosts?: string | undefined;
}

/** A commented pgo.toml; its text passes the schema of core/config.ts. Without `source`, the source is a comment to fill in. */
export function configTemplate(directories: Directories, source?: TemplateSource): string {
  return `# What pgo is told on this host. All keys and their defaults: docs/configuration.md.
# Check it with: pgo config check. Durations: "90s", "5m", "1h30m".

${source === undefined ? exampleSource(directories.secrets.replace(/\/[^/]*$/, "")) : sourceTable(source)}
# [quadlet]
# directory = ${quoted(directories.quadlet)}
# generator_warnings = "report"      # "refuse": a warning of Podman's generator refuses the application
# drift_interval = "5m"              # how often the host itself is looked at

# [health]                           # of every unit that says nothing else
# deadline = "120s"                  # healthy by then, or the rollout is undone
# interval = "2s"
# timeout = "3s"
# min_healthy_time = "5s"

# [application.shop.health.web]      # one unit's check; may also stand in the application's own pgo.toml, in Git
# http = { url = "http://127.0.0.1:8080/ready" }

# [secrets]
# directory = ${quoted(directories.secrets)}

# [state]
# directory = ${quoted(directories.state)}
# keep_deployments = 500
# keep_days = 365
# min_free = "100MB"                 # with less room, nothing new is begun

# [schedule]                         # when changes may go: docs/schedule.md
# windows = [{ cron = "0 2 * * SUN", duration = "4h", zone = "Europe/Berlin" }]

# [metrics]
# listen = "127.0.0.1:9180"          # "off": no metrics, no /healthz

# [system]
# log_level = "info"
`;
}

/** `settings`: the directory of pgo.toml. */
const exampleSource = (settings: string): string => `# [[source]]
# url = "ssh://git@git.example.com/ops/fleet.git"
# branch = "main"                    # default: the remote's HEAD
# paths = ["."]                      # directories whose first-level directories are the applications
# interval = "60s"
# auth = { ssh_key = ${quoted(`${settings}/id_ed25519`)}, known_hosts = ${quoted(`${settings}/known_hosts`)} }
# auth = { username = "pgo", password = { file = "git.token" } }
`;

function sourceTable({ name, url, branch, paths, sshKey, knownHosts }: TemplateSource): string {
  const known = knownHosts === undefined ? "" : `, known_hosts = ${quoted(knownHosts)}`;
  return `[[source]]
${name === undefined ? "" : `name = ${quoted(name)}\n`}url = ${quoted(url)}
${branch === undefined ? '# branch = "main"                    # default: the remote\'s HEAD' : `branch = ${quoted(branch)}`}
${paths === undefined || paths.length === 0 ? '# paths = ["."]                      # directories whose first-level directories are the applications' : `paths = [${paths.map(quoted).join(", ")}]`}
# interval = "60s"
${sshKey === undefined ? '# auth = { ssh_key = "…", known_hosts = "…" }' : `auth = { ssh_key = ${quoted(sshKey)}${known} }`}
`;
}

/** A TOML basic string; JSON's escapes are a part of TOML's, but for DEL, which JSON leaves as it is. */
const quoted = (text: string): string => JSON.stringify(text).replaceAll("\u007f", "\\u007f");
