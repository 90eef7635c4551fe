/** The control API on a unix socket: what `ctl` asks of a running pgo. Whoever can open the socket may ask anything. */

import { chmod, mkdir, rm, stat } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { connect } from "node:net";
import { dirname } from "node:path";
import Router from "@koa/router";
import Koa, { type Context } from "koa";
import { z } from "zod";

import { Unavailable, UnknownTarget, type Commands } from "../controller/commands.ts";
import { reasonOf, success, trouble, type Result } from "../core/result.ts";
import { BadRequest, checked, readBody } from "./body.ts";
import { closeServer } from "./closing.ts";

export interface ControlSettings {
  readonly commands: Commands;
  /** Path of the socket; made with mode 0600, its directory with 0700. */
  readonly socket: string;
  /** Told of answers that failed. */
  readonly warn: (message: string) => void;
}

/**
 * Listens on the socket. A socket that a dead process left is removed; where a living one answers, the trouble says so: two pgo on one
 * state directory would undo each other's work. Closing ends all requests within a second.
 */
export async function openControl(settings: ControlSettings): Promise<Result<AsyncDisposable, string>> {
  const { socket } = settings;
  await privateDirectory(dirname(socket));
  if (await answers(socket)) return trouble(`another pgo runs already and answers at ${socket}: stop that one first`);
  await rm(socket, { force: true });

  const closing = new AbortController();
  const answer = application(settings, closing.signal).callback();
  const server = createServer({ requestTimeout: 30_000, headersTimeout: 5000 }, (request, response) => void answer(request, response));
  await listen(server, socket);
  await chmod(socket, 0o600);
  return success({
    async [Symbol.asyncDispose]() {
      closing.abort(new Error("pgo is stopping"));
      // It also removes the socket.
      await closeServer(server);
    },
  });
}

const target = z.string().min(1).max(200);
const count = z.coerce.number().int().min(1).max(10_000);
const queries = {
  plan: z.strictObject({ target: target.optional() }),
  history: z.strictObject({ target: target.optional(), limit: count.default(20) }),
  events: z.strictObject({ limit: count.default(50), after: z.coerce.number().int().min(0).optional() }),
  deployment: z.strictObject({ id: z.coerce.number().int().min(1) }),
};
const bodies = {
  sync: z.strictObject({ target: target.optional(), wait: z.boolean().default(false), now: z.boolean().default(false) }),
  rollback: z.strictObject({ target, to: z.int().min(1).optional() }),
  target: z.strictObject({ target }),
  restore: z.strictObject({ id: z.int().min(1) }),
  resume: z.strictObject({ target: target.optional() }),
  suspend: z.strictObject({ target: target.optional(), forMs: z.number().positive().max(Number.MAX_SAFE_INTEGER).optional() }),
};

function application({ commands, warn }: ControlSettings, closing: AbortSignal): Koa {
  // What only asks ends with its asker; what changes the host goes on when the asker is gone, until pgo stops.
  const asking = (context: Context): AbortSignal => AbortSignal.any([closing, goneSignal(context)]);
  const router = new Router({ prefix: "/v1" });

  router.get("/status", async (context) => {
    context.body = await commands.status(asking(context));
  });
  router.get("/plan", async (context) => {
    context.body = await commands.plan(checked(context.query, queries.plan).target, asking(context));
  });
  router.get("/history", (context) => {
    const { target, limit } = checked(context.query, queries.history);
    context.body = commands.history({ target, limit });
  });
  router.get("/history/:id", (context) => {
    const { id } = checked(context.params, queries.deployment);
    const entry = commands.history({ target: undefined, limit: 10_000, id }).find((one) => one.id === id);
    if (entry === undefined) throw new UnknownTarget(`there is no deployment ${String(id)} (or it is no longer kept): see ctl history`);
    context.body = entry;
  });
  router.get("/backups", (context) => {
    context.body = commands.backups(checked(context.query, queries.plan).target);
  });
  router.post("/backup", async (context) => {
    context.body = await commands.backUp();
  });
  router.post("/restore", async (context) => {
    context.body = await commands.restore((await readBody(context.req, bodies.restore)).id);
  });
  router.get("/events", (context) => {
    const { limit, after } = checked(context.query, queries.events);
    context.body = commands.events({ limit, ...(after === undefined ? {} : { after }) });
  });
  router.get("/alive", (context) => {
    const reason = commands.alive();
    if (reason === undefined) context.body = { alive: true };
    else fail(context, 503, reason);
  });
  router.get("/version", async (context) => {
    context.body = await commands.version(asking(context));
  });

  router.post("/sync", async (context) => {
    const { target, wait, now } = await readBody(context.req, bodies.sync);
    const signal = asking(context);
    context.body = await (now ? commands.syncNow(target, wait, signal) : commands.sync(target, wait, signal));
  });
  router.post("/rollback", async (context) => {
    const { target, to } = await readBody(context.req, bodies.rollback);
    context.body = await commands.rollback(target, to, closing);
  });
  router.post("/retry", async (context) => {
    const { target } = await readBody(context.req, bodies.target);
    context.body = await commands.retry(target, closing);
  });
  router.post("/suspend", async (context) => {
    const { target, forMs } = await readBody(context.req, bodies.suspend);
    context.body = commands.suspend(target, forMs);
  });
  router.post("/resume", async (context) => {
    const { target } = await readBody(context.req, bodies.resume);
    context.body = commands.resume(target);
  });

  const koa = new Koa();
  koa.use(async (context, next) => {
    try {
      await next();
      if (context.status === 404 && context.body === undefined) fail(context, 404, `there is no ${context.method} ${context.path}`);
      if (context.status === 405) fail(context, 405, `${context.method} is not for ${context.path}`);
    } catch (error) {
      if (error instanceof UnknownTarget) fail(context, 404, error.message);
      else if (error instanceof BadRequest) fail(context, error.status, error.message);
      else if (error instanceof Unavailable) fail(context, 503, error.message);
      else if (closing.aborted) fail(context, 503, "pgo is stopping");
      else {
        fail(context, 500, reasonOf(error));
        if (!context.req.destroyed && context.writable) warn(`${context.method} ${context.path} failed: ${reasonOf(error)}`);
      }
    }
  });
  koa.use(router.routes()).use(router.allowedMethods());
  // Koa's own way is to print to stderr; what is left for it are broken connections.
  koa.on("error", () => undefined);
  return koa;
}

function fail(context: Context, status: number, error: string): void {
  context.status = status;
  context.body = { error };
}

/** Aborted when the client goes away before its answer is complete. */
function goneSignal({ res }: Context): AbortSignal {
  const gone = new AbortController();
  res.once("close", () => {
    if (!res.writableFinished) gone.abort(new Error("the client went away"));
  });
  return gone.signal;
}

async function privateDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    if (((await stat(directory)).mode & 0o077) !== 0) await chmod(directory, 0o700);
  } catch (error) {
    throw new Error(`can't make ${directory} a directory for pgo's user alone`, { cause: error });
  }
}

/** Whether a process accepts connections there; a file that is no socket, and a socket without a process, do not. */
function answers(socket: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const connection = connect(socket);
    connection.once("connect", () => {
      connection.destroy();
      resolve(true);
    });
    connection.once("error", (error: NodeJS.ErrnoException) => {
      if (["ENOENT", "ECONNREFUSED", "ENOTSOCK"].includes(error.code ?? "")) resolve(false);
      else reject(new Error(`can't look whether another pgo answers at ${socket}`, { cause: error }));
    });
  });
}

async function listen(server: Server, socket: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const failed = (error: Error): void => {
    reject(new Error(`can't listen on ${socket}`, { cause: error }));
  };
  server.once("error", failed).listen(socket, () => {
    resolve(undefined);
  });
  await promise;
  server.off("error", failed);
}
