/**
 * Which room may import which: an allow list, after the table in docs/development.md. What is not allowed is an error.
 * @type {import("dependency-cruiser").IConfiguration}
 */
const only = (packages) => `^(?:${packages.map((name) => `node_modules/${name}(?:/|$)`).join("|")})`;
const node = "^[a-z_/:]+$";

/** One library, one place. */
const homes = {
  "dbus-next": "^src/adapters/host/bus\\.ts$",
  "simple-git": "^src/adapters/git/process\\.ts$",
  "age-encryption": "^src/adapters/decrypt/decrypt\\.ts$",
  yaml: "^src/adapters/decrypt/yaml\\.ts$",
  "better-sqlite3": "^src/adapters/store/database\\.ts$",
  "prom-client": "^src/adapters/journal/metrics\\.ts$",
  pino: "^src/adapters/journal/log\\.ts$",
  koa: "^src/http/",
  "@koa/router": "^src/http/",
  commander: "^src/cli/program\\.ts$",
};

module.exports = {
  allowed: [
    { from: { path: "^src/core/" }, to: { path: "^src/core/" } },
    { from: { path: "^src/core/" }, to: { path: only(["zod", "smol-toml", "dotenv", "diff", "semver", "croner", "ignore", "liquidjs"]) } },
    // For hashes, and nothing else.
    { from: { path: "^src/core/" }, to: { path: "^(?:node:)?crypto$", dependencyTypes: ["core"] } },
    { from: { path: "^src/ports\\.ts$" }, to: { path: "^src/core/" } },
    { from: { path: "^src/controller/" }, to: { path: "^src/(?:controller/|core/|ports\\.ts$)" } },
    { from: { path: "^src/adapters/([^/]+)" }, to: { path: "^src/(?:core/|ports\\.ts$)" } },
    { from: { path: "^src/adapters/([^/]+)/" }, to: { path: "^src/adapters/$1/" } },
    // Files that a power cut can't tear: the one thing that adapters share.
    { from: { path: "^src/adapters/" }, to: { path: "^src/adapters/durable\\.ts$" } },
    { from: { path: "^src/adapters/" }, to: { path: node, dependencyTypes: ["core"] } },
    { from: { path: "^src/adapters/" }, to: { path: only(["zod", "dotenv"]) } },
    { from: { path: "^src/http/" }, to: { path: "^src/(?:http/|core/|controller/commands\\.ts$)" } },
    { from: { path: "^src/http/" }, to: { path: only(["zod"]) } },
    { from: { path: "^src/http/" }, to: { path: node, dependencyTypes: ["core"] } },
    { from: { path: "^src/cli/" }, to: { path: "^src/(?:cli/|core/)" } },
    { from: { path: "^src/cli/" }, to: { path: node, dependencyTypes: ["core"] } },
    ...Object.entries(homes).map(([name, path]) => ({ from: { path }, to: { path: only([name]) } })),
    // The roof may import all.
    { from: { path: "^src/[^/]+\\.ts$", pathNot: "^src/ports\\.ts$" }, to: { path: "^src/" } },
    { from: { path: "^src/[^/]+\\.ts$", pathNot: "^src/ports\\.ts$" }, to: { path: node, dependencyTypes: ["core"] } },
  ],
  allowedSeverity: "error",
  forbidden: [
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } } },
    { name: "nothing-unresolved", severity: "error", from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default", "types"] },
  },
};
