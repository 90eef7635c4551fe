/** The metrics listener: /metrics, /healthz and /readyz over TCP, for Prometheus and for the health command of pgo's own unit. */

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import Router from "@koa/router";
import Koa from "koa";

import type { Commands } from "../controller/commands.ts";
import { reasonOf } from "../core/result.ts";
import { closeServer } from "./closing.ts";

export interface MetricsServerSettings {
  readonly listen: { readonly host: string; readonly port: number };
  /** The Prometheus text and its content type; calls neither Podman nor systemd. */
  readonly metrics: () => Promise<{ readonly type: string; readonly text: string }>;
  readonly commands: Pick<Commands, "alive" | "ready">;
  /** Told once when the port can't be had, once when it can at last, and for each answer that failed. */
  readonly warn: (message: string) => void;
  /** Milliseconds between two tries for a port that can't be had. */
  readonly retryAfter?: number;
}

export interface MetricsServer extends AsyncDisposable {
  /** Where it listens; undefined while the port can't be had. */
  address(): AddressInfo | undefined;
}

const routes = {
  "/metrics": "figures for Prometheus",
  "/healthz": "200 while the loop is alive and the state can be written, else 503 and why",
  "/readyz": "200 once the first pass is over, else 503",
};

/**
 * Opens the listener, and never fails: a port that can't be had is a warning, and is tried for again in the background, since often it
 * is free soon (an older pgo that is being replaced) or its address appears late in the boot.
 */
export async function openMetricsServer(settings: MetricsServerSettings): Promise<MetricsServer> {
  const answer = application(settings).callback();
  const server = createServer(
    { requestTimeout: 10_000, headersTimeout: 5000, keepAliveTimeout: 65_000 },
    (request, response) => void answer(request, response),
  );
  server.maxConnections = 64;
  const { listen, warn, retryAfter = 10_000 } = settings;
  const where = `${listen.host.includes(":") ? `[${listen.host}]` : listen.host}:${String(listen.port)}`;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const again = async (): Promise<void> => {
    const refused = await tryListen(server, listen);
    if (closed) await closeServer(server);
    else if (refused === undefined) warn(`metrics listen on ${where} now`);
    else timer = setTimeout(() => void again(), retryAfter);
  };

  const refused = await tryListen(server, listen);
  // After listening an error concerns one connection at most: it is told, not thrown.
  server.on("error", (error) => {
    if (server.listening) warn(`metrics listener: ${error.message}`);
  });
  if (refused !== undefined) {
    warn(
      `metrics can't listen on ${where}: ${refused}; pgo runs on without and tries again. To choose another: [metrics] listen in pgo.toml`,
    );
    timer = setTimeout(() => void again(), retryAfter);
  }
  return {
    address() {
      const address = server.address();
      return address === null || typeof address === "string" ? undefined : address;
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      clearTimeout(timer);
      await closeServer(server);
    },
  };
}

function application({ metrics, commands, warn }: MetricsServerSettings): Koa {
  const router = new Router();
  router.get("/metrics", async (context) => {
    const { type, text } = await metrics();
    context.set("Content-Type", type);
    context.body = text;
  });
  router.get("/healthz", (context) => {
    const reason = commands.alive();
    context.status = reason === undefined ? 200 : 503;
    context.body = `${reason ?? "ok"}\n`;
  });
  router.get("/readyz", (context) => {
    const ready = commands.ready();
    context.status = ready ? 200 : 503;
    context.body = ready ? "ok\n" : "the first pass is not over\n";
  });
  router.get("/", (context) => {
    const lines = Object.entries(routes).map(([path, text]) => `${path.padEnd(10)}${text}\n`);
    context.body = `pgo\n\n${lines.join("")}`;
  });

  const koa = new Koa();
  koa.use(async (context, next) => {
    context.set("Cache-Control", "no-store");
    context.set("X-Content-Type-Options", "nosniff");
    try {
      await next();
    } catch (error) {
      warn(`GET ${context.path} failed: ${reasonOf(error)}`);
      context.status = 500;
      context.body = "failed: see pgo's log\n";
    }
  });
  koa.use(router.routes()).use(router.allowedMethods());
  // Koa's own way is to print to stderr; what is left for it are broken connections.
  koa.on("error", () => undefined);
  return koa;
}

/** Undefined when it listens, else why not. */
function tryListen(server: Server, { host, port }: { readonly host: string; readonly port: number }): Promise<string | undefined> {
  return new Promise((resolve) => {
    const refused = (error: NodeJS.ErrnoException): void => {
      server.off("listening", listening);
      resolve(error.code === "EADDRINUSE" ? "the port is taken" : error.message);
    };
    const listening = (): void => {
      server.off("error", refused);
      resolve(undefined);
    };
    server.once("error", refused).once("listening", listening).listen(port, host);
  });
}
