/** A connection to systemd over D-Bus that comes back by itself: the one file that knows dbus-next. */

import type { Duplex } from "node:stream";

import { DBusError, Message, Variant, sessionBus, type MessageBus, type SessionBusOptions } from "dbus-next";

import { reasonOf } from "../../core/result.ts";

/** A method of systemd's objects; `body` as dbus-next takes it, 64-bit numbers as bigint. */
export interface Call {
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature?: string;
  readonly body?: readonly unknown[];
}

/** The other side's answer that it will not: an expected error, by its D-Bus name. */
export class Refusal extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** The refusals that callers tell apart. */
export const refusals = {
  noSuchUnit: "org.freedesktop.systemd1.NoSuchUnit",
  unknownObject: "org.freedesktop.DBus.Error.UnknownObject",
} as const;

export interface Bus extends AsyncDisposable {
  /** The present connection, or a fresh one; throws with a reason when there is none in time. */
  connection(signal: AbortSignal): Promise<Connection>;
}

/** One connection, good until it is lost; every method throws after that. */
export interface Connection {
  /** Aborted, with an Error as its reason, when the connection is gone. */
  readonly lost: AbortSignal;
  /** Sends all at once and gives the answers in the same order. Throws when they are not all there within `ms`. */
  callAll(calls: readonly Call[], ms: number, signal: AbortSignal): Promise<readonly (readonly unknown[] | Refusal)[]>;
  /** One call; throws a Refusal where systemd refuses. */
  call(call: Call, ms: number, signal: AbortSignal): Promise<readonly unknown[]>;
  /** Hears a signal of systemd's Manager until the function that it answers is called; `heard` gets the signal's arguments. */
  listen(member: string, heard: (body: readonly unknown[]) => void, signal: AbortSignal): Promise<() => void>;
  /**
   * Hears of changes of all units, until the function that it answers is called: the unit's name and its ActiveState=. systemd tells each
   * several times, and those of mounts and of Podman's own health checks too (257).
   */
  follow(heard: (unit: string, active: string) => void, signal: AbortSignal): Promise<() => void>;
}

/** systemd's own object. */
export const systemd1 = { path: "/org/freedesktop/systemd1", interface: "org.freedesktop.systemd1.Manager" } as const;

/** systemd answers nothing while it reloads, and a reload of many units on a small machine takes its time. */
export const callDeadline = 60_000;

/** A bus allows 128 calls without an answer per connection (max_replies_per_connection in dbus-daemon(1)), and then refuses. */
const callsAtOnce = 64;

/**
 * `address` as in DBUS_SESSION_BUS_ADDRESS: `unix:path=/run/dbus/system_bus_socket`. Nothing is connected yet; what `connection`
 * connects it gives up after `connectMs`.
 */
export function openBus(address: string, connectMs = 10_000): Bus {
  const closed = new AbortController();
  let present: Promise<OpenConnection> | undefined;

  const fresh = (): Promise<OpenConnection> => {
    const attempt = connect(address, connectMs, closed.signal);
    const forget = (): void => {
      if (present === attempt) present = undefined;
    };
    attempt.then(({ lost }) => {
      if (lost.aborted) forget();
      else lost.addEventListener("abort", forget, { once: true });
    }, forget);
    return attempt;
  };
  const connection = (signal: AbortSignal): Promise<Connection> => {
    // One for all who wait; so it goes by its own deadline, and each caller by its own signal.
    present ??= fresh();
    return within(present, undefined, [signal]);
  };

  return {
    connection,
    async [Symbol.asyncDispose]() {
      closed.abort(new Error("the connection to systemd was closed by pgo"));
      const last = await present?.catch(() => undefined);
      last?.close(closed.signal.reason);
    },
  };
}

interface OpenConnection extends Connection {
  close(reason: unknown): void;
}

async function connect(address: string, ms: number, signal: AbortSignal): Promise<OpenConnection> {
  signal.throwIfAborted();
  const deadline = performance.now() + ms;
  const bus = dial(address);
  const connection = connectionOf(bus);
  const greeted = new Promise<void>((resolve) => void bus.on("connect", resolve));
  const late = (): Error => new Error(`no answer in ${String(ms / 1000)} s`);
  try {
    await within(greeted, { ms, late }, [signal, connection.lost]);
    await subscribe(connection, deadline, signal);
    return connection;
  } catch (error) {
    connection.close(error);
    // The bus takes only its own user's (and root's) connections; in a rootless container the user is another without keep-id.
    const advice = /authentication/i.test(reasonOf(error)) ? " (a rootless container needs UserNS=keep-id)" : "";
    throw new Error(`connect to systemd at ${address}${advice}`, { cause: error });
  }
}

/** Manager.Subscribe, without which no signals come. Right after the bus itself has started, systemd may not be on it yet. */
export async function subscribe(connection: Pick<Connection, "call" | "lost">, deadline: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await connection.call({ ...systemd1, member: "Subscribe" }, Math.max(1, deadline - performance.now()), signal);
      return;
    } catch (error) {
      // A restart of the bus may give out the name again of one that systemd still remembers.
      if (error instanceof Refusal && error.code.endsWith(".AlreadySubscribed")) return;
      const absent = error instanceof Refusal && /\.(?:ServiceUnknown|NameHasNoOwner|NoReply)$/.test(error.code);
      if (!absent || performance.now() > deadline) throw error;
      await within(new Promise((resolve) => setTimeout(resolve, 100)), undefined, [signal, connection.lost]);
    }
  }
}

function dial(address: string): MessageBus {
  // "socket" is dbus-next's own word for a path that it opens with node:net, never with the optional native usocket. And of the
  // ways to log in only EXTERNAL (the user id of the socket's peer): when refused, the others read their answers unchecked.
  const options = { busAddress: address.replace(/^unix:path=/, "unix:socket="), authMethods: ["EXTERNAL"] } satisfies SessionBusOptions;
  return sessionBus(options);
}

function connectionOf(bus: MessageBus): OpenConnection {
  const lost = new AbortController();
  const { stream } = (bus as unknown as { readonly _connection: { readonly stream: Duplex } })._connection;
  const close = (reason: unknown): void => {
    lost.abort(reason instanceof Error ? reason : new Error(String(reason)));
    stream.destroy();
  };
  bus.on("error", close);
  bus.setMaxListeners(0);
  const limited = limit(callsAtOnce);
  // dbus-next itself leaves every open call waiting for ever when the other side goes away.
  stream.on("close", () => {
    close(new Error("the bus closed the connection"));
  });

  const callAll: Connection["callAll"] = async (calls, ms, signal) => {
    lost.signal.throwIfAborted();
    signal.throwIfAborted();
    const late = (): Error => {
      const error = new Error(`systemd did not answer ${calls[0]?.member ?? "nothing"} in ${String(Math.round(ms / 1000))} s`);
      // A bus that says nothing may be a socket without anyone behind it: the next call tries a fresh one.
      close(error);
      return error;
    };
    return within(Promise.all(calls.map((call) => limited(() => send(bus, "org.freedesktop.systemd1", call)))), { ms, late }, [
      signal,
      lost.signal,
    ]);
  };
  const call: Connection["call"] = async (one, ms, signal) => {
    const [answer] = await callAll([one], ms, signal);
    if (answer === undefined || answer instanceof Refusal) throw answer ?? new Error(`${one.member}: no answer`);
    return answer;
  };

  const hear = async (rule: string, onMessage: (message: Message) => void, signal: AbortSignal): Promise<() => void> => {
    const match = (method: string): Promise<readonly unknown[] | Refusal> =>
      send(bus, "org.freedesktop.DBus", {
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member: method,
        signature: "s",
        body: [rule],
      });
    bus.on("message", onMessage);
    const stop = (): void => {
      bus.removeListener("message", onMessage);
      // The bus counts equal rules, and its answer matters to nobody.
      if (!lost.signal.aborted) match("RemoveMatch").catch(() => undefined);
    };
    try {
      const late = (): Error => new Error("the bus did not answer AddMatch");
      await within(match("AddMatch"), { ms: callDeadline, late }, [signal, lost.signal]);
    } catch (error) {
      stop();
      throw error;
    }
    return stop;
  };

  return {
    lost: lost.signal,
    close,
    callAll,
    call,
    listen(member, heard, signal) {
      const rule = `type='signal',sender='org.freedesktop.systemd1',path='${systemd1.path}',interface='${systemd1.interface}',member='${member}'`;
      const onMessage = (message: Message): void => {
        if (message.interface === systemd1.interface && message.member === member) heard(message.body as readonly unknown[]);
      };
      return hear(rule, onMessage, signal);
    },

    follow(heard, signal) {
      const [properties, unit] = ["org.freedesktop.DBus.Properties", "org.freedesktop.systemd1.Unit"];
      const rule = `type='signal',sender='org.freedesktop.systemd1',path_namespace='${unitPaths}',interface='${properties}',member='PropertiesChanged',arg0='${unit}'`;
      const onMessage = (message: Message): void => {
        if (message.interface !== properties || message.member !== "PropertiesChanged") return;
        const [kind, changed] = message.body as unknown as readonly [string, Readonly<Record<string, unknown>>];
        const active = kind === unit ? content(changed["ActiveState"]) : undefined;
        if (typeof active === "string") heard(unitIn(message.path), active);
      };
      return hear(rule, onMessage, signal);
    },
  };
}

const unitPaths = `${systemd1.path}/unit`;

/** The name is the last part of the path: what is no letter or digit is `_` and its byte in hex (systemd's bus_label_escape). */
function unitIn(path: string): string {
  return decodeURIComponent(
    path
      .slice(unitPaths.length + 1)
      .replace(/%/g, "%25")
      .replace(/_([0-9a-f]{2})/g, "%$1"),
  );
}

async function send(bus: MessageBus, destination: string, call: Call): Promise<readonly unknown[] | Refusal> {
  try {
    const reply = await bus.call(new Message({ ...call, destination, body: [...(call.body ?? [])] }));
    return (reply?.body ?? []) as readonly unknown[];
  } catch (error) {
    if (error instanceof DBusError) return new Refusal(error.type, error.text);
    throw error;
  }
}

/** Lets so many of the works given to it go on at once; the others wait for their turn. */
function limit(atOnce: number): <Value>(work: () => Promise<Value>) => Promise<Value> {
  const waiting: (() => void)[] = [];
  let free = atOnce;
  return async (work) => {
    if (free === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    else free--;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
}

/** A value with its D-Bus type, for what takes a variant. */
export function variant(signature: string, value: unknown): Variant<unknown> {
  return new Variant<unknown>(signature, value);
}

/** What is in a variant of an answer. */
export function content(value: unknown): unknown {
  return value instanceof Variant ? (value as Variant<unknown>).value : value;
}

/** Waits for `work`, but no longer than `ms`, and not past the abort of a signal: throws that signal's reason. */
export async function within<Value>(
  work: Promise<Value>,
  limit: { readonly ms: number; readonly late: () => Error } | undefined,
  signals: readonly AbortSignal[],
): Promise<Value> {
  // Whoever is no longer waited for may still fail, and that is nobody's surprise.
  work.catch(() => undefined);
  for (const signal of signals) signal.throwIfAborted();
  const over = Promise.withResolvers<never>();
  const stops = signals.map((signal) => {
    const stop = (): void => {
      over.reject(signal.reason as Error);
    };
    signal.addEventListener("abort", stop, { once: true });
    return () => {
      signal.removeEventListener("abort", stop);
    };
  });
  const timer =
    limit &&
    setTimeout(() => {
      over.reject(limit.late());
    }, limit.ms);
  try {
    return await Promise.race([work, over.promise]);
  } finally {
    clearTimeout(timer);
    for (const stop of stops) stop();
  }
}
