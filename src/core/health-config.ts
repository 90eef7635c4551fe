/** The shape of `[health]` and of one unit's check: `[health.UNIT]` in Git, `[application.NAME.health.UNIT]` on the host. */

import { z } from "zod";

import { duration, positive, secretReference } from "./config-values.ts";
import { watchDefaults } from "./watch-config.ts";
import { bytes } from "./size.ts";

const patience = {
  deadline: positive.describe("A unit that is not healthy by then is unhealthy."),
  interval: positive.describe("Time between two probes, at the most; each is moved by up to 10 % by chance."),
  timeout: positive.describe("For one probe."),
  success_threshold: z.int().min(1).describe("Passes in a row that make a unit healthy."),
  failure_threshold: z
    .int()
    .min(1)
    .describe("Crashes in a row that end the waiting; failures in a row that make a healthy unit unhealthy."),
  start_period: duration.describe("Failures this soon after a start don't count."),
  min_healthy_time: duration.describe("A unit must have run this long without a restart."),
};

/** `[health]` of the host: with these a Raspberry Pi that starts containers from a slow SD card has time enough (docs/health.md). */
export const healthDefaults = z.strictObject({
  deadline: patience.deadline.default(120_000),
  interval: patience.interval.default(2000),
  timeout: patience.timeout.default(3000),
  success_threshold: patience.success_threshold.default(1),
  failure_threshold: patience.failure_threshold.default(3),
  start_period: patience.start_period.default(0),
  min_healthy_time: patience.min_healthy_time.default(5000),
  ...watchDefaults,
  resources: z
    .boolean()
    .default(true)
    .describe("Whether the CPU and memory of all containers are read at each look for drift; else only where a threshold needs them."),
});

const share = /^(\d+(?:\.\d+)?) ?%$/;
const partOf = (text: string) => Number(share.exec(text)?.[1] ?? NaN) / 100;

const limits = {
  memory: z
    .string({ error: 'must be a part of its limit or a size, like "90%" or "200MB"' })
    .refine((size) => partOf(size) > 0 || (bytes(size) ?? 0) > 0, 'must be a part of its limit or a size, like "90%" or "200MB"')
    .transform((size) => (share.test(size) ? { part: partOf(size) } : { bytes: bytes(size) ?? 0 }))
    .optional()
    .describe("Using more memory is a failure: a part of the container's limit (of the host's memory, where it has none), or a size."),
  cpu: z
    .string({ error: 'must be a part of one core, like "80%"' })
    .refine((part) => partOf(part) > 0, 'must be a part of one core, like "80%"')
    .transform(partOf)
    .optional()
    .describe("Using more of one core, from one look for drift to the next, is a failure."),
};

const prefix = z
  .string()
  .regex(/^[\x20-\x7e]*$/, "must be plain text")
  .default("");

/** In Git a secret has a name, as in env files; where it is kept is the host's business. */
const namedSecret = z.strictObject({ secret: z.string().min(1), prefix });
const plainHeader = z.string().regex(/^[\t\x20-\x7e]*$/, "must be one line of plain text");

const appHeader = z.union([plainHeader, namedSecret], { error: 'must be a text, or { secret = "NAME", prefix = "Bearer " }' });
const hostHeader = z.union([plainHeader, namedSecret, ...secretReference.options.map((one) => one.extend({ prefix }))], {
  error: 'must be a text, or a secret: { secret = "NAME" }, { file = "…" }, { env = "…" } or { credential = "…" }',
});

const port = z.int().min(1).max(65_535);
const text = z.string().min(1);

const pattern = text.refine(isPattern, "must be a regular expression as JavaScript has them (with the flags m and u)");

/** 200, "2xx", "200-299". */
const status = z
  .union(
    [
      z
        .int()
        .min(100)
        .max(599)
        .transform((one) => ({ from: one, to: one })),
      z
        .string()
        .regex(/^[1-5]xx$/)
        .transform((one) => ({ from: Number(one[0]) * 100, to: Number(one[0]) * 100 + 99 })),
      z
        .string()
        .regex(/^[1-5]\d\d-[1-5]\d\d$/)
        .transform((one) => ({ from: Number(one.slice(0, 3)), to: Number(one.slice(4)) }))
        .refine(({ from, to }) => from <= to),
    ],
    { error: 'must be a status such as 200, "2xx" or "200-299"' },
  )
  .meta({ type: "status" });

function httpCheck<Header extends z.ZodType, Ca extends z.ZodType<string>>(header: Header, ca: Ca) {
  return z
    .strictObject({
      url: z
        .url({ protocol: /^https?$/, error: "must be an http:// or https:// address" })
        .optional()
        .describe("Whole address, as the host sees it; or `port`."),
      port: port.optional().describe("Port of the container: pgo finds the host's that it is published at, or the container's address."),
      path: z.string().startsWith("/", 'must start with "/"').optional().describe('With `port`; default "/".'),
      scheme: z.enum(["http", "https"]).optional().describe('With `port`; default "http".'),
      method: z.enum(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]).default("GET").describe("Request method."),
      headers: z
        .record(z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "must be the name of a header"), header)
        .default({})
        .describe('By name: a text, or a secret, such as { secret = "TOKEN", prefix = "Bearer " }.'),
      body: z.string().optional().describe("Sent with the request."),
      status: z
        .array(status)
        .min(1)
        .meta({ type: "list of statuses" })
        .prefault([200])
        .describe('Answers that pass, such as [200, "3xx", "400-403"].'),
      contains: text.optional().describe("Must occur in the first 256 KiB of the body."),
      matches: pattern.optional().describe("Regular expression that must match in the first 256 KiB of the body."),
      follow: z.int().min(0).max(10).default(0).describe("So many redirects are followed; with 0 a redirect is an answer like others."),
      verify: z.boolean().default(true).describe("Whether the server's certificate is verified."),
      ca: ca.optional().describe("Certificates (PEM) that are trusted instead of the system's."),
      server_name: text.optional().describe("Name that the server's certificate is for (SNI), where it is not the address's."),
    })
    .refine((http) => (http.url === undefined) !== (http.port === undefined), "needs either url or port")
    .refine(
      (http) => http.url === undefined || (http.path === undefined && http.scheme === undefined),
      "path and scheme go with port, not url",
    )
    .optional()
    .describe("One HTTP request, from the host's network.");
}

const tcpCheck = z
  .strictObject({
    port: port.describe("Port of the container, if it publishes it or has an address of its own; else of `host`."),
    host: text.optional().describe('Name or address; with it the port is that host\'s. Default: the container, else "127.0.0.1".'),
    send: text.optional().describe("Sent once connected."),
    expect: text.optional().describe("Must come in the first 64 KiB of what the other side sends."),
  })
  .optional()
  .describe("Connects, from the host's network.");

const commandCheck = z
  .strictObject({
    run: z
      .union([text, z.array(z.string()).min(1)], { error: "must be a program and its arguments, or one line for sh -c" })
      .meta({ type: "text or list of texts" })
      .describe("Program and arguments, or one line for `sh -c`."),
    on: z
      .enum(["container", "host"])
      .default("container")
      .describe("Where it runs: inside the unit's container, or on the host itself, which in Git needs `[policy] host_commands`."),
    user: text
      .optional()
      .describe(
        "In the container: as `podman exec --user` takes it, default the container's. On the host: a user of it, default root; rootless pgo's own alone.",
      ),
    exit: z.array(z.int().min(0).max(255)).min(1).default([0]).describe("Exit codes that pass."),
    contains: text.optional().describe("Must occur in the first 16 KiB of what it writes."),
  })
  .optional()
  .describe("Runs a program inside the unit's container, or on the host.");

function unitHealth<Http extends z.ZodType>(http: Http) {
  return z
    .strictObject({
      http,
      tcp: tcpCheck,
      command: commandCheck,
      check: z
        .enum(["podman", "process", "unit"])
        .optional()
        .describe(
          "Instead of a probe: `podman` (its health check), `process` (unit and container run) or `unit` (systemd's state alone). Default: by what the unit is.",
        ),
      ...limits,
      ...z.strictObject(patience).partial().shape,
    })
    .refine(
      (unit) =>
        (["http", "tcp", "command", "check"] as const).filter((one) => (unit as Readonly<Record<string, unknown>>)[one] !== undefined)
          .length <= 1,
      "http, tcp, command and check exclude each other: keep one",
    );
}

const appCa = z.string().regex(/^(?!\/)(?!(?:.*\/)?\.\.(?:\/|$))[^\0]+$/, "must be a file of the application, such as ./ca.pem");
const hostCa = z.string().startsWith("/", "must be an absolute path");

/** `[health.UNIT]` of an application's own pgo.toml: nothing of it leads to a file of the host. */
export const appUnitHealth = unitHealth(httpCheck(appHeader, appCa));
/** `[application.NAME.health.UNIT]` of the host's. */
export const hostUnitHealth = unitHealth(httpCheck(hostHeader, hostCa));
export type UnitHealthSettings = z.infer<typeof hostUnitHealth>;

function isPattern(source: string): boolean {
  try {
    new RegExp(source, "mu");
    return true;
  } catch {
    return false;
  }
}
